"""docs/extending.md, followed to the letter in a folder of its own, as a user without a fork would."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
STOP = " stop.images=64 data.batch_size=32"  # the page trains a little longer than two steps


def test_every_file_and_command_of_the_page(tmp_path: Path) -> None:
    project = tmp_path / "my-project"
    for name, code in re.findall(
        r"`((?:my_lab|conf)/\S+\.(?:py|yaml))`[^`]*?(?:`[^`\n]+`[^`]*?)*```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL
    ):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    assert len(list(project.rglob("*.py"))) == len(list(project.rglob("*.yaml"))) == 3
    (project / "my_lab" / "__init__.py").touch()
    (tmp_path / "aigc-lab").symlink_to(ROOT)

    variables, *trainings = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(trainings) == 3
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for training in trainings:
        answer = subprocess.run(
            ["bash", "-c", f"{variables}\n{training}{STOP}"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert answer.returncode == 0, answer.stderr
    manifests = [json.loads(path.read_text()) for path in project.rglob("manifest.json")]
    assert [manifest["ended"]["step"] for manifest in manifests] == [2, 2, 2]
    files = {name for manifest in manifests for name in manifest["sources"]}
    assert {name for name in files if name.startswith("my_lab")} == {
        f"my_lab/{name}.py" for name in ("losses", "networks", "shapes")
    }


def test_without_the_variable_the_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text("_target_: my_lab.losses.Loss\n")
    answer = subprocess.run(
        [sys.executable, "-m", "src.train", "--config-dir", str(tmp_path / "conf"), "loss=mine", "data=digits"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 2
    assert "AIGC_PACKAGES" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
