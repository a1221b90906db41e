"""The hash of the code that decides weights: changes with code, not with words about it."""

import pytest

from dbeta_lib.training import sources

CODE = '''"""A docstring."""

def loss(x):
    """Another."""
    return 2 * x  # why
'''


@pytest.mark.parametrize(
    ("before", "after", "is_other"),
    [
        ("# why", "# because", False),
        ("Another.", "Other words.", False),
        ("    return", "\n    return", False),
        ("2 * x", "3 * x", True),
        ('    """Another."""\n    return 2 * x', '    """Another."""', True),
    ],
)
def test_the_hash_changes_with_code_alone(tmp_path, before, after, is_other):
    hashes = []
    for name, code in (("a", CODE), ("b", CODE.replace(before, after))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "losses.py").write_text(code)
        hashes.append(sources.code_hash(tmp_path / name))
    assert (hashes[0] != hashes[1]) == is_other


def test_every_deciding_file_is_there_and_counts():
    assert len(sources.code_hash()) == 16
    hashes = [sources.code_hash(deciding=(pattern,)) for pattern in sources.DECIDING]
    assert len({*hashes, sources.code_hash(deciding=())}) == len(hashes) + 1
