"""Answers written by hand for tests of drawing and copying, in the manner of a clinical model."""

from __future__ import annotations

ANSWERS = {
    "prescription": """**Community-acquired pneumonia, CURB-65 = 2.** Do **not** give penicillin: she had anaphylaxis.

| Drug | Dose | Route | Frequency | Duration | Comment |
|---|---|---|---|---|---|
| Levofloxacin | 500 mg | PO | every 12 h | 5 days | reduce to 250 mg if eGFR < 50 mL/min/1.73 m² |
| Doxycycline | 200 mg, then 100 mg | PO | once daily | 5 days | not in pregnancy; no dairy within 2 h |
| Paracetamol | 1 g | PO | up to 4 times a day | as needed | ≤ 4 g/24 h; ≤ 2 g/24 h if weight < 50 kg |

## Monitoring
1. Repeat creatinine and K⁺ after 48 h; stop if K⁺ ≥ 6.0 mmol/L or creatinine rises > 30 %.
2. Target SpO₂ 94 - 98 %, **not** above 98 %; in COPD 88 - 92 %.
3. Fluids: 30 mL/kg over 3 h, i.e. 70 kg × 30 mL/kg = 2 100 mL, unless BP > 90 / 60 mmHg.

> No steroid is needed unless septic shock does not respond within 6 h.
""",
    "titration": """Start bisoprolol 1.25 mg once daily and double it every 2 weeks (1.25 → 2.5 → 5 → 7.5 → 10 mg) \
provided that heart rate ≥ 60 bpm, systolic BP ≥ 100 mmHg and there are no signs of congestion. \
Do not start if heart rate < 50 bpm.

- Enoxaparin 1 mg/kg every 12 h; if CrCl < 30 mL/min, 1 mg/kg every 24 h
- Insulin 0.1 units/kg/h; potassium 20 - 40 mmol/L in each litre if K is 3.5 to 5.0 mmol/L
- Aspirin 300 mg, never with active bleeding
* Fentanyl 25 - 50 µg IV, without repeating within 5 min

| Hour | Rate |
|---|---|
| 0 - 1 | 1 000 mL/h |
| 1 - 3 | 500 mL/h |
| 3 - 5 | 250 mL/h |
""",
    "chinese": """**急性ST段抬高型心肌梗死**，无溶栓禁忌。不得使用非甾体抗炎药。

| 药物 | 剂量 | 用法 | 注意 |
|---|---|---|---|
| 阿司匹林 | 300 毫克 | 嚼服一次，此后每日100毫克 | 活动性出血者禁用 |
| 替格瑞洛 | 180 mg | 负荷量，此后90 mg每日2次 | 不可与强效CYP3A4抑制剂合用 |
| 依诺肝素 | 1 mg/kg | 皮下注射，每12小时1次 | eGFR < 30 mL/min 时改为每24小时1次 |

1. 收缩压≥90毫米汞柱且心率>60次/分时，美托洛尔12.5～25毫克口服，每日2次。
2. 血钾维持在4.0～5.0毫摩尔/升；血糖超过10毫摩尔/升时给予胰岛素0.1单位/公斤/小时。
3. 体重＜60公斤、年龄≥75岁者，普拉格雷不推荐；如必须使用，每日5毫克。

发病12小时内行急诊PCI，门球时间不超过90分钟。未行再灌注者，疗程不少于8天。
""",
    "mixed": """Differential for a potassium of 6.2 mmol/L (高钾血症):

1. **Renal failure** – creatinine 480 µmol/L, urine < 0.5 mL/kg/h for 6 h
   - calcium gluconate 10 %, 10 mL over 2 - 5 min
   - insulin 10 units with glucose 25 g; check glucose at 15, 30 and 60 min
2. **Drugs**: spironolactone 25 mg, ramipril 10 mg — 停用，不要重新开始

```
Anion gap = Na - (Cl + HCO3) = 140 - (104 + 12) = 24 mmol/L
0.5 * 70 kg = 35 mg
```

| Test | Result | 参考范围 |
|---|---|---|
| K | 6.2 mmol/L | 3.5 - 5.3 |
| 肌酐 | 480 µmol/L | < 110 µmol/L |
""",
}
