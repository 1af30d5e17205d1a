"""Downloads from a model hub, played by a small server on this machine."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from edgemed.convert import convert as convert_checkpoint
from edgemed.errors import CheckpointError
from edgemed.hub.snapshot import snapshot
from edgemed.model_file import keys, open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint
from testing.hub import COMMIT, REPOSITORY, Hub, serve
from tests.convert.conftest import TINY

SECOND_SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = make_checkpoint(tmp_path / "published", TINY)
    (folder / "pytorch_model.bin").write_bytes(b"not wanted")
    with serve(folder) as server:
        yield server


def convert(
    hub: Hub, tmp_path: Path, source: str, *options: str, changes: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgemed.cli", "convert", source, "-o", str(tmp_path / "out.gguf"), *options]
    environment = hub.environment(tmp_path / "cache")
    return subprocess.run(
        command, env=environment | dict(changes or {}), cwd=tmp_path, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_repository_is_downloaded_converted_and_cached(hub: Hub, tmp_path: Path) -> None:
    done = convert(hub, tmp_path, REPOSITORY)
    assert done.returncode == 0, done.stderr
    model = open_model(tmp_path / "out.gguf")
    assert model.name == "tiny"
    assert model.metadata[keys.SOURCE_REPOSITORY] == REPOSITORY
    assert model.metadata[keys.SOURCE_REVISION] == COMMIT
    assert "pytorch_model.bin" not in hub.served
    served = len(hub.served)
    assert convert(hub, tmp_path, REPOSITORY, "--overwrite").returncode == 0
    assert len(hub.served) == served  # the second conversion uses the cache


@pytest.mark.slow
def test_cached_files_are_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    assert convert(hub, tmp_path, REPOSITORY).returncode == 0
    snapshot = tmp_path / f"cache/hub/models--{REPOSITORY.replace('/', '--')}/snapshots/{COMMIT}"
    kept = {path: path.read_bytes() for path in snapshot.iterdir()}
    (tmp_path / "out.gguf").unlink()
    for path in (snapshot / "config.json", (snapshot / "tokenizer.json").resolve()):
        for options in (("--save-plan", str(path)), ("-o", str(path))):
            done = convert(hub, tmp_path, REPOSITORY, "--overwrite", *options)
            assert done.returncode == 2
            assert done.stderr.endswith(
                f"{path} is also named as an input or as another output; choose another name.\n"
            )
    assert {path: path.read_bytes() for path in snapshot.iterdir()} == kept
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--bits", "99"),
        ("--plan", "none.json"),
        ("--calibration", "none.npz"),
        ("-o", "none/out.gguf"),
        ("--save-plan", "out.gguf"),
    ],
)
def test_wrong_options_are_refused_before_the_download(hub: Hub, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert convert(hub, tmp_path, REPOSITORY, *options).returncode in (1, 2)
    assert hub.served == []


@pytest.mark.slow
def test_plan_and_weights_come_from_one_commit(hub: Hub, tmp_path: Path) -> None:
    """The branch may move during a conversion, so its commit is asked only once."""
    done = convert(hub, tmp_path, REPOSITORY, "--size", "3MiB", "--save-plan", "plan.json")
    assert done.returncode == 0, done.stderr
    assert hub.asked == 1


def sentence(done: subprocess.CompletedProcess[str], tmp_path: Path) -> str:
    """The one line that a failed command ends with. It leaves no output."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out.gguf*"))
    return done.stderr.strip().splitlines()[-1].removeprefix("edgemed: ")


@pytest.mark.slow
def test_missing_repository_is_reported(hub: Hub, tmp_path: Path) -> None:
    done = convert(hub, tmp_path, "nobody/nothing")
    assert sentence(done, tmp_path) == (
        "There is no folder nobody/nothing here, and there is no repository nobody/nothing on the hub; check the name."
    )


@pytest.mark.slow
@pytest.mark.parametrize("names", [["model-Q4_K_M.gguf"], ["README.md"], []])
def test_a_repository_without_a_checkpoint_leads_to_pull(hub: Hub, tmp_path: Path, names: list[str]) -> None:
    for path in hub.folder.iterdir():
        path.unlink()
    for name in names:
        (hub.folder / name).write_bytes(b"GGUF")
    assert sentence(convert(hub, tmp_path, REPOSITORY), tmp_path) == (
        f"The hub's repository {REPOSITORY} holds no checkpoint; `edgemed pull {REPOSITORY}` lists its GGUF files."
    )


@pytest.mark.slow
def test_a_gated_repository_is_not_called_missing(hub: Hub, tmp_path: Path) -> None:
    hub.refuse = 403, "GatedRepo"
    said = sentence(convert(hub, tmp_path, REPOSITORY), tmp_path)
    assert said == (
        f"There is no folder {REPOSITORY} here, and access to the hub's repository {REPOSITORY} must be asked for: "
        f"open {hub.address}/{REPOSITORY}, accept its terms, then log in with `hf auth login`, or set HF_TOKEN."
    )


@pytest.mark.slow
@pytest.mark.parametrize("address", ["localhost", "http://[bad"])
def test_an_endpoint_that_is_no_address_is_named(hub: Hub, tmp_path: Path, address: str) -> None:
    assert sentence(convert(hub, tmp_path, REPOSITORY, changes={"HF_ENDPOINT": address}), tmp_path) == (
        f"There is no folder {REPOSITORY} here, and HF_ENDPOINT is {address!r}, which is not an address such as "
        "https://huggingface.co; correct or unset it."
    )


@pytest.mark.slow
def test_a_setting_that_huggingface_hub_cannot_read_is_a_sentence(hub: Hub, tmp_path: Path) -> None:
    said = sentence(convert(hub, tmp_path, REPOSITORY, changes={"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}), tmp_path)
    assert "failed (invalid literal for int() with base 10: 'soon')" in said


@pytest.mark.slow
def test_a_connection_lost_inside_a_shard_is_opened_again(hub: Hub, tmp_path: Path) -> None:
    hub.ending = "reset"
    hub.cut[SECOND_SHARD] = [100_000]
    done = convert(hub, tmp_path, REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert hub.served.count(SECOND_SHARD) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "at"), [(SECOND_SHARD, -1), (SECOND_SHARD, 9), ("tokenizer.json", -1), ("tokenizer.json", 40)]
)
def test_a_bit_that_flipped_in_the_cache_is_found(hub: Hub, tmp_path: Path, name: str, at: int) -> None:
    """Also where the damage makes the file unreadable, because downloading it again would find it in the cache."""
    folder = tmp_path / f"cache/hub/models--{REPOSITORY.replace('/', '--')}/snapshots/{COMMIT}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.address)
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache/hub"))
        assert snapshot(REPOSITORY, None, ["*"]) == folder
    blob = (folder / name).resolve()
    content = bytearray(blob.read_bytes())
    content[at] ^= 1
    blob.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    assert str(caught.value) == (
        f"{name} is damaged on this disk: its digest is not the one that the hub gave for it; delete {blob} and "
        "download it again."
    )
    assert not list(tmp_path.glob("out.gguf*"))
