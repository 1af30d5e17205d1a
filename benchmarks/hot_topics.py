"""Does a hot profile reveal the topic? Twelve questions on four topics, a profile of each, and its nearest profile.

    python -m benchmarks.hot_topics demo.gguf

Each question is asked in a fresh engine. A profile is each expert's share of all uses, minus the mean of the twelve
profiles. "Nearest" is the other profile with the highest correlation.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemed.engine.hot_profile import profile_path, read_profile
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Message, Sampling
from edgemed.model_file import open_model

TOKENS = 40
# These cases are invented.
QUESTIONS = {
    "diabetes": (
        "A 54-year-old man with type 2 diabetes takes metformin; his fasting glucose is 11 mmol/l and his HbA1c is 9 "
        "percent. Should insulin be started, and how is the blood glucose monitored?",
        "Diabetes was found in a woman of 61: thirst, weight loss, glucose 16 mmol/l, HbA1c 10.2. Compare metformin, "
        "insulin and diet for lowering her blood sugar.",
        "My blood sugar is 14 in the morning although I inject 20 units of insulin for my diabetes every evening. What "
        "about HbA1c and hypoglycaemia?",
    ),
    "heart": (
        "A 66-year-old man has crushing chest pain radiating to the left arm for an hour; the ECG shows ST elevation "
        "and troponin is raised. Aspirin, heparin or catheter?",
        "Acute myocardial infarction in a woman of 72: chest pain, ST elevation in leads II, III and aVF, troponin "
        "high. Which coronary artery is occluded, and what now?",
        "I have chest pain when climbing stairs, the ECG was normal, troponin negative. Is it angina of the coronary "
        "arteries, and do I need aspirin or a stent?",
    ),
    "skin": (
        "A child of 4 has itching red dry patches of skin in the elbows; eczema, atopic dermatitis. Which cream, "
        "emollient or steroid, on the skin?",
        "Psoriasis plaques with silvery scales on the skin of both knees itch in a man of 40. Topical steroid, vitamin "
        "D cream or light for the skin?",
        "A red itching rash of the skin on my hands after new gloves, with blisters and dry scales: contact dermatitis "
        "or eczema, and which steroid cream?",
    ),
    "lung": (
        "A 70-year-old smoker with COPD coughs up green sputum and is short of breath; oxygen saturation 86 percent. "
        "Antibiotics, prednisolone, inhaler?",
        "Asthma attack in a girl of 12: wheezing, breathless, peak flow 45 percent. Salbutamol inhaler, oxygen, "
        "prednisolone?",
        "I wheeze and cough at night, my inhaler with salbutamol helps for an hour. Is it asthma or COPD, and is "
        "spirometry of the lungs needed?",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Ask the questions, compare the profiles and print two lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_topics", description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    args = parser.parse_args(argv)
    topics = [topic for topic, questions in QUESTIONS.items() for _ in questions]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / args.model.name
        shutil.copy(args.model, model)
        shares = np.stack([uses(model, question) for questions in QUESTIONS.values() for question in questions])
    shares -= shares.mean(axis=0)
    alike = np.corrcoef(shares)
    pairs = list(combinations(range(len(topics)), 2))
    same = [alike[i, j] for i, j in pairs if topics[i] == topics[j]]
    other = [alike[i, j] for i, j in pairs if topics[i] != topics[j]]
    np.fill_diagonal(alike, -1)
    right = sum(topics[i] == topics[j] for i, j in enumerate(alike.argmax(axis=1)))
    print(f"correlation within a topic {np.mean(same):.2f}, across topics {np.mean(other):.2f}")
    by_chance = len(topics) * 2 / (len(topics) - 1)
    print(f"the nearest profile is of the same topic for {right} of {len(topics)}; by chance {by_chance:.1f}")
    return 0


def uses(model: Path, question: str) -> NDArray[np.float64]:
    """Return each expert's share of all uses while this question is answered."""
    profile_path(model).unlink(missing_ok=True)
    with Engine.start(model, EngineSettings(allow_unsealed=True, hot_profile=True)) as engine:
        list(engine.generate([Message("user", question)], Sampling(seed=1, max_tokens=TOKENS)))
    scores = read_profile(model, open_model(model).hparams.expert_shape)
    assert scores is not None
    counts = np.exp2(scores.astype(np.float64)).ravel()
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


if __name__ == "__main__":
    sys.exit(main())
