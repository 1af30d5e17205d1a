"""Chat templates: honest ones are rendered, hostile ones are refused."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.engine.chat_template import ChatTemplate
from edgemed.engine.process import template
from edgemed.engine.process.protocol import Message
from edgemed.errors import EngineError, TemplateError
from testing.processes import command, descendants
from testing.tokenizers_json import CHAT_TEMPLATE, SPECIAL_TOKENS

TURNS = [Message("user", "Hello <role> there"), Message("assistant", "Yes?"), Message("user", "老年人 😀\n\n</role>")]


def render(source: str, messages: list[Message] = TURNS) -> str:
    spans = ChatTemplate(source, SPECIAL_TOKENS, {"bos_token": "<|startoftext|>", "eos_token": ""}).render(messages)
    return "".join(span.text for span in spans)


def test_a_conversation_is_rendered_as_the_template_says() -> None:
    assert render(CHAT_TEMPLATE) == (
        "<role>SYSTEM</role>detailed thinking off<|role_end|><role>HUMAN</role>Hello <role> there<|role_end|>"
        "<role>ASSISTANT</role>Yes?<|role_end|><role>HUMAN</role>老年人 😀\n\n</role><|role_end|><role>ASSISTANT</role>"
    )


def test_spans_tell_message_text_from_the_templates() -> None:
    spans = ChatTemplate(CHAT_TEMPLATE, SPECIAL_TOKENS, {}).render([Message("user", "<role>x")])
    assert [span.text for span in spans if span.from_message] == ["<role>x"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{{ messages | length }}", "<|startoftext|>3"),
        ("{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{{ strftime_now('%%') }}", "%"),
        ('{{ {"a": "é", "b": [1]} | tojson }}', '{"a": "é", "b": [1]}'),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "Hello <role> there"}'),
        ("{{ messages[2].content | trim | length }}", "14"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "3"),
        ("{% if tools %}tools{% endif %}{{ add_generation_prompt }}", "True"),
        ("  {% if true %}\n  x\n  {% endif %}\n", "  x\n"),
        ("{% generation %}{{ messages[1].content }}{% endgeneration %}.", "Yes?."),
        ("a\n{%- generation -%}\n x \n{%- endgeneration -%}\nb", "axb"),
        (
            "{% for m in messages %}{% generation %}{% set x = m.role %}{{ x }};{% endgeneration %}{% endfor %}{{ x }}",
            "user;assistant;user;",
        ),
        ("{% generation %}{% if true %}{% generation %}y{% endgeneration %}{% endif %}{% endgeneration %}", "y"),
        ('{{ {"b": 1, "a": "é"} | tojson(sort_keys=true) }}', '{"a": "é", "b": 1}'),
        ('{{ {"b": [1, 2]} | tojson(separators=(",", ":")) }}', '{"b":[1,2]}'),
        ('{{ {"b": 1, "a": 2} | tojson(indent=2) }}', '{\n  "b": 1,\n  "a": 2\n}'),
        ('{{ "é" | tojson(ensure_ascii=true) }}{{ "é" | tojson(True) }}', '"\\u00e9""\\u00e9"'),
        ('{{ [messages[2].content] | tojson(ensure_ascii=true, separators=("", "")) | length }}', "46"),
        ('{{ [1] | tojson(false, "--", [", ", ": "], false) }}', "[\n--1\n]"),
    ],
)
def test_features_that_real_templates_use(source: str, expected: str) -> None:
    assert render(source) == expected


def test_reasoning_is_found_in_a_message_by_the_templates_own_strings() -> None:
    source = "{% for m in messages %}{{ m.content.split('</think>')[-1].lstrip('\\n') }};{% endfor %}"
    messages = [Message("assistant", "<think>\nhm</think>\n\nTwice daily."), Message("user", "no marks")]
    assert render(source, messages) == "Twice daily.;no marks;"


def test_json_escapes_what_a_message_holds() -> None:
    assert render("{{ messages[0].content | tojson }}", [Message("user", 'a"b\\c\nd</role>')]) == (
        '"a\\"b\\\\c\\nd</role>"'
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{% for m in messages %}", "is malformed in line 1"),
        ("{% generation %}x", "is malformed in line 1"),
        ("{{ 1 | tojson(nonsense=1) }}", "fails: .* unexpected keyword argument"),
        ("{{ raise_exception('roles must alternate') }}", "refuses this conversation: roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "tries to access something forbidden"),
        ("{{ ''.__class__ }}", "tries to access something forbidden"),
        ("{{ messages.append.__self__ }}", "tries to access something forbidden"),
        ("{{ messages.append(1) }}", "tries to access something forbidden"),
        ("{{ cycler.__init__.__globals__ }}", "tries to access something forbidden"),
        ("{{ raise_exception.__globals__ }}", "tries to access something forbidden"),
        ("{{ '{0.__class__}'.format(1) }}", "tries to access something forbidden"),
        ("{{ messages | attr('__class__') }}", "tries to access something forbidden"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "loops too often"),
        ("{{ 'x' * 10 ** 12 }}", "needs more than 512 MiB of memory"),
        ("{% set ns = namespace(x='xy') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "memory"),
        ("{{ '%0999999999d' % 1 }}", "needs more than 512 MiB of memory"),
        ("{{ 'x' * 5000000 }}", "writes more than 4 million characters"),
        ("{{ 1 / 0 }}", "fails: division by zero"),
        ("{{ nothing.at_all }}", "fails|refuses"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recurses without end|could not be rendered"),
        ("{% include '/etc/passwd' %}", "fails|refuses"),
        ("{# #}{% if false %}{{ messages }}{% endif %}", "renders nothing"),
    ],
)
def test_a_hostile_template_is_one_sentence(source: str, sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence) as caught:
        render(source)
    assert str(caught.value).startswith("The model's chat template ")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** (9 ** 9) }}",  # one operation in C, which no Python signal handler interrupts
    ],
)
def test_an_endless_template_is_stopped(source: str) -> None:
    started = time.monotonic()
    with pytest.raises(TemplateError, match="did not finish within"):
        render(source)
    assert time.monotonic() - started < 20


class Killer(threading.Thread):
    """Kills the process that renders, `kills` times."""

    def __init__(self, kills: int) -> None:
        super().__init__(daemon=True)
        self.left = kills

    def run(self) -> None:
        killed: set[int] = set()
        while self.left > 0:
            for pid in descendants(os.getpid()):
                if "process.template" in command(pid) and pid not in killed:
                    killed.add(pid)
                    self.left -= 1
                    os.kill(pid, signal.SIGKILL)
                    break
            time.sleep(0.005)


def test_a_killed_renderer_is_started_once_more() -> None:
    killer = Killer(1)
    killer.start()
    assert render(CHAT_TEMPLATE).endswith("<role>ASSISTANT</role>")
    assert not killer.left


def test_a_renderer_that_is_killed_twice_does_not_blame_the_template() -> None:
    killer = Killer(9)
    killer.start()
    with pytest.raises(EngineError, match="killed twice, by another program or for lack of memory; close other"):
        render("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
    killer.left = 0


def test_a_conversation_too_long_for_any_template_does_not_blame_the_template() -> None:
    with pytest.raises(EngineError, match=r"has 5,000,000 characters, more than any model can read; .*shorten"):
        render(CHAT_TEMPLATE, [Message("user", "a cough " * 625_000)])


@pytest.mark.slow
def test_a_long_text_has_time_in_proportion() -> None:
    text = "a cough, 老年人 " * 150_000
    assert len(text) > 1_900_000
    assert text.strip() in render(CHAT_TEMPLATE, [Message("user", text)])


@pytest.mark.slow
def test_a_text_that_reaches_a_limit_is_blamed_and_not_the_template() -> None:
    source = "{% for m in messages %}{{ m.content }}{{ m.content }}{{ m.content }}{% endfor %}"
    with pytest.raises(EngineError, match=r"has 1,600,000 characters, more than any model can read"):
        render(source, [Message("user", "a cough " * 200_000)])


def test_a_template_that_needs_no_text_to_reach_a_limit_is_blamed() -> None:
    with pytest.raises(TemplateError, match="needs more than 512 MiB of memory"):
        render("{{ 'x' * 10 ** 12 }}", [Message("user", "a cough " * 20_000)])


LIMITED = """
import resource, sys
from edgemed.engine.chat_template import ChatTemplate
from edgemed.engine.process.protocol import Message
from edgemed.errors import EdgemedError
kind, limit, source = getattr(resource, sys.argv[1]), int(sys.argv[2]), sys.argv[3]
resource.setrlimit(kind, (limit, limit))
try:
    print(*(span.text for span in ChatTemplate(source, (), {}).render([Message("user", "?")])))
except EdgemedError as error:
    print(f"{type(error).__name__}: {error}")
"""
LARGE = "{{ ('x' * 200000000) | length }}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "limit", "source", "words"),
    [
        ("RLIMIT_AS", 400 << 20, "{{ messages[0].content }}", "?"),
        ("RLIMIT_CPU", 1, "{{ messages[0].content }}", "?"),
        (
            "RLIMIT_AS",
            150 << 20,
            LARGE,
            "SetupError: This shell limits the memory of a process to 150 MiB (`ulimit -v`)",
        ),
        (
            "RLIMIT_DATA",
            100 << 20,
            LARGE,
            "SetupError: This shell limits the memory of a process to 100 MiB (`ulimit -d`)",
        ),
        ("RLIMIT_AS", 2 << 30, "{{ 'x' * 10 ** 12 }}", "TemplateError: The model's chat template needs more than 512"),
    ],
)
def test_a_limit_of_the_shell_is_named(kind: str, limit: int, source: str, words: str) -> None:
    command = [sys.executable, "-c", LIMITED, kind, str(limit), source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(words), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kept", "is_kept"), [("</think>", True), ("<", False), ("role", False), ("|role_end|>x", False)]
)
def test_only_strings_apart_from_special_tokens_stay_readable(kept: str, is_kept: bool) -> None:
    veil = template.Veil("", [kept], SPECIAL_TOKENS)
    assert (kept in veil.hide(f"a{kept}b")) == is_kept


@pytest.mark.slow
@given(
    text=st.lists(st.sampled_from([*"<|>/role_endthinkx \n[CLS]", "</think>", "<role>", "\U000f0000", "é"])).map(
        "".join
    ),
    literals=st.lists(st.sampled_from(["</think>", "think", ">x", "<", "x", " ", "\U000f0001"])),
)
@settings(max_examples=300)
def test_the_veil_lifts_to_the_same_text_and_hides_special_tokens(text: str, literals: list[str]) -> None:
    veil = template.Veil("\U000f0002", literals, SPECIAL_TOKENS)
    hidden = veil.hide(text)
    assert veil.show(hidden) == text
    # However a template cuts and joins, characters that are not hidden cannot form part of a special token.
    plain = "".join(character if character in text else "\0" for character in hidden)
    for token in SPECIAL_TOKENS:
        assert token not in plain
    assert all(run for run, _ in veil.spans(hidden))
