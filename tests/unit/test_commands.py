"""The `evalpack` command: one sentence for each mistake, and a model that was added can be planned."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkpoints import llama, write
from project import Project

from evalpack.cli import main

SHAPE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 256,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}
EVALPACK = Path(sys.executable).parent / "evalpack"
FOUR = {"gpus": 4, "gpu_type": "A100-80GB"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    project.config |= {"models": ["llama3.2:1b"], "hardware": FOUR}
    project.write()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return project


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    def of(*command: str) -> str:
        """The one sentence that a command ends with."""
        assert main(list(command)) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("evalpack: ")
        assert err.count("\n") == 1
        return err.removeprefix("evalpack: ").rstrip("\n")

    return of


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hardware": {"gpus": 4, "gpu_type": "B9000"}}, "hardware.gpu_type: `B9000`"),
        ({"hardware": {"gpus": 0, "gpu_type": "A100-80GB"}}, "there are 0 GPUs"),
        (
            {"models": ["llama3.3-70b"], "hardware": {"gpus": 1, "gpu_type": "L40S-48GB"}},
            "models.llama3.3-70b does not fit on 1 L40S-48GB",
        ),
        ({"planning": {"shards": 11}}, "planning.shards: 11 shards are more than the 10 answers"),
        (
            {"models": [{"name": "smollm2:135m", "tensor_parallel_size": 2}]},
            "models.smollm2:135m: tensor_parallel_size 2 does not go with 9 attention heads",
        ),
        (
            {"models": [{"name": "llama3.2:1b", "tensor_parallel_size": 8}]},
            "tensor_parallel_size 8 is more than the 4 GPUs",
        ),
        ({"samples": {"path": "gone.csv"}}, "samples.path: there is no gone.csv"),
        ({"samples": {"path": "config"}}, "config"),
        ({"samples": {"path": "samples.jsonl", "template": "gone.j2"}}, "gone.j2"),
        ({"samplez": 1}, "config/config.yaml: unknown key `samplez`"),
        ({"models": ["nonsense:1b"]}, "unknown model `nonsense:1b`"),
    ],
)
def test_a_mistake_is_one_sentence(
    project: Project, refused: Any, changes: dict[str, Any], sentence: str
) -> None:
    project.config |= changes
    project.write()
    assert sentence in refused("plan")


@pytest.mark.parametrize("command", ["plan", "pilot"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--configfile", "gone.yaml"], "there is no gone.yaml"),
        (["--configfile", "models"], "models"),
        (["--gpus", "0"], "there are 0 GPUs"),
        (["--gpus", "-1"], "there are -1 GPUs"),
    ],
)
def test_so_is_a_mistake_on_the_command_line(
    project: Project, refused: Any, command: str, arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(command, *arguments)


@pytest.mark.parametrize("content", ["", "[1, 2]", "run: [", "just text", "a: b: c", "\0", "1: 2"])
def test_a_config_file_that_is_none_is_named(project: Project, refused: Any, content: str) -> None:
    Path("config/config.yaml").write_text(content)
    assert "config/config.yaml" in refused("plan")


def test_a_results_folder_that_cannot_be_is_a_sentence(project: Project, refused: Any) -> None:
    Path("results").write_text("a file")
    assert refused("plan") == "results/test/samples.json: Not a directory"


def test_a_reader_that_has_read_enough_sees_no_traceback(project: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [str(EVALPACK), "plan", "--json", "--no-solver"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_damaged_sample_is_named_with_its_row(project: Project, refused: Any) -> None:
    project.samples[2]["prompt"] = " "
    project.write()
    assert refused("plan").startswith("samples.jsonl, line 3: prompt is empty")


def test_outside_a_project_the_way_in_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("plan", "pilot"):
        assert refused(command) == (
            "there is no config/config.yaml; run evalpack in the folder that holds config/"
        )
    assert "config/models.yaml" in refused("add", "some/where")
    assert "results/demo holds no finished run" in refused("summary", "results/demo")


def test_a_pilot_of_no_model_here_is_refused(project: Project, refused: Any) -> None:
    assert refused("pilot", "gpt-5") == (
        "gpt-5: not among the models of this configuration that run here; there are llama3.2:1b"
    )


def test_as_a_process_a_mistake_is_a_sentence_and_exit_code_1(project: Project) -> None:
    done = subprocess.run(
        [str(EVALPACK), "plan", "--configfile", "gone.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "evalpack: there is no gone.yaml\n"


def test_a_config_file_merges_over_the_projects_own(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("more.yaml").write_text(yaml.safe_dump({"run": "other", "hardware": {"gpus": 2}}))
    assert main(["plan", "--no-solver", "--configfile", "more.yaml"]) == 0
    assert "Plan of other on 2 × A100-80GB" in capsys.readouterr().out


def test_a_model_added_from_a_folder_can_be_planned(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("models/My-Model"), SHAPE, llama(SHAPE))
    assert main(["add", "models/My-Model", "--name", "mine", "--print"]) == 0
    shown = capsys.readouterr().out
    before = Path("config/models.yaml").read_text(encoding="utf-8")
    assert main(["add", "models/My-Model", "--name", "mine"]) == 0
    assert capsys.readouterr().out == f"{shown}Added to config/models.yaml.\n"
    after = Path("config/models.yaml").read_text(encoding="utf-8")
    assert after.startswith(before.rstrip("\n"))
    assert yaml.safe_load(after)["mine"]["layers"] == 2
    project.config["models"] = ["mine"]
    project.write()
    assert main(["plan", "--no-solver"]) == 0
    assert "\nmine " in capsys.readouterr().out


def test_a_folder_that_is_no_checkpoint_is_not_added(project: Project, refused: Any) -> None:
    before = Path("config/models.yaml").read_bytes()
    assert "models/gone" in refused("add", "models/gone")
    assert refused("add", "models/tiny")
    assert Path("config/models.yaml").read_bytes() == before


@pytest.mark.parametrize("command", ["add", "pilot", "plan", "summary"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: evalpack {command}")
