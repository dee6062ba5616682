"""What a run of music keeps to be heard: the sound of samples, and its score."""

from pathlib import Path

NAMES = "sound.wav", "sound.svg"  # in a published folder; of a run they are samples/sound-<step>.*


def newest_sound(run: Path) -> dict[str, Path]:
    """The newest files of a run folder or a published one, by their NAMES; empty without any."""
    newest = max((run / "samples").glob("sound-*.wav"), default=run / NAMES[0])
    return {name: newest.with_suffix(Path(name).suffix) for name in NAMES} if newest.is_file() else {}
