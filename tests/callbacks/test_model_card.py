from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from firm_lightning.callbacks.model_card import About, Origin, agreement_in, write_card

ABOUT = About(front={"library_name": "diffusers"}, title="A thing", text="It is one.", usage=("import x",))
CONFIG = "run_name: r\nmodel: {class_path: m}\ntrainer: {devices: 1}\n"
EXPECTED = """\
---
library_name: diffusers
---
# A thing

It is one.

```python
import x
```

| | |
|---|---|
| Start | s |

## The critic's agreement

| task | n | exact | within_one | mae | spearman | qwk | pairwise | unreadable_rate |
|---|---|---|---|---|---|---|---|---|
| alignment | 600 | 0.858 | - | 0.170 | - | - | - | 0.000 |

## Files of weights

- `w.safetensors` sha256 `ab`

## Data

- `data.train.path` sha256:cd

## Recipe

The whole config is `training_config.yaml`.

```yaml
run_name: r
model:
  class_path: m
```
"""


def report(folder: Path) -> Path:
    overall = {"n": 600, "exact": 0.8583333, "mae": 0.17, "spearman": None, "qwk": float("nan"), "unreadable_rate": 0.0}
    (folder / "report.json").write_text(json.dumps({"format": 1, "tasks": {"alignment": {"overall": overall}}}))
    return folder / "report.json"


def test_a_whole_card(tmp_path: Path) -> None:
    origin = Origin(CONFIG, 3, fingerprints={"data.train.path": "sha256:cd"}, agreement=agreement_in(report(tmp_path)))
    write_card(tmp_path, ABOUT, [("Start", "s")], origin, {"w.safetensors": "ab"})
    assert (tmp_path / "README.md").read_text() == EXPECTED
    assert (tmp_path / "training_config.yaml").read_text() == CONFIG


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    write_card(tmp_path, ABOUT, [("Start", "s")], Origin(None, 3), {})
    assert (tmp_path / "README.md").read_text() == EXPECTED.partition("\n## The critic's")[0]
    assert not (tmp_path / "training_config.yaml").exists()


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"tasks": {"alignment": {}}}', '{"tasks": 3}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    message = f"^{re.escape(str(tmp_path / 'report.json'))}: cannot be read as a report.json of 'test' or 'report': "
    with pytest.raises(ValueError, match=message):
        agreement_in(tmp_path / "report.json")
