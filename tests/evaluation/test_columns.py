from src.evaluation.columns import COLUMNS, columns


def test_columns_by_extractor() -> None:
    record = {"precision_digits", "fd_digits", "d_gap", "kid_std_digits", "class_min_share_digits"}
    assert [column.key for column in columns(record, "digits")] == [
        "fd_digits",
        "precision_digits",
        "class_min_share_digits",
    ]
    official = {"fid", "kid", "precision_inception-v3-compat"}
    assert [column.key for column in columns(official, "inception-v3-compat")] == [
        *("fid", "kid", "precision_inception-v3-compat")
    ]


def test_arrows_say_what_is_better() -> None:
    arrows = {"↓": "lower", "↑": "higher"}
    assert all(column.better == arrows.get(column.header[-1]) for column in COLUMNS)
