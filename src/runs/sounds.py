"""What a run keeps beside pictures: of music the sound of samples and its score, of video clips that move."""

from pathlib import Path

NAMES = "sound.wav", "sound.svg"  # in a published folder; of a run they are samples/sound-<step>.*
MOVING = "moving.gif"  # likewise, samples/moving-<step>.gif


def newest_sound(run: Path) -> dict[str, Path]:
    """The newest files of a run folder or a published one, by their NAMES, or MOVING; empty without any."""
    newest = max((run / "samples").glob("sound-*.wav"), default=run / NAMES[0])
    moving = max((run / "samples").glob("moving-*.gif"), default=run / MOVING)
    found = {name: newest.with_suffix(Path(name).suffix) for name in NAMES} if newest.is_file() else {}
    return found | ({MOVING: moving} if moving.is_file() else {})
