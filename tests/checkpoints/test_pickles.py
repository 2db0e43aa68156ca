"""The pickle machine: the same values as Python's, and no reading of pickles elsewhere."""

import ast
import pickle  # noqa: TID251 - what the machine is compared with
from collections import Counter, OrderedDict, defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datasetgan
from datasetgan.checkpoints.pickle_values import Budget, Reader
from datasetgan.checkpoints.pickles import run_pickle
from datasetgan.errors import CheckpointError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**500), 2**500)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
KEYS = st.text(max_size=5) | st.integers(-(2**59), 2**59) | st.booleans() | st.binary(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def run(data: bytes) -> Any:
    value, end = run_pickle(memoryview(data), Reader(Budget.for_content("x.pkl", len(data))))
    assert end == len(data)
    return value


@given(VALUES, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_come_out_as_they_went_in(value: object, protocol: int) -> None:
    assert run(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_dictionaries_by_other_names_are_dictionaries(protocol: int) -> None:
    factory: defaultdict[str, int] = defaultdict(int, a=1)
    for value in (OrderedDict(a=1, b=2), Counter("aab"), factory):
        found = run(pickle.dumps(value, protocol))
        assert type(found) is dict
        assert found == value


def test_shared_and_recursive_parts_stay_so() -> None:
    shared: list[Any] = [1]
    value: dict[str, Any] = {"a": shared, "b": shared}
    value["self"] = value
    found = run(pickle.dumps(value))
    assert found["a"] is found["b"]
    assert found["self"] is found


def test_large_bytes_are_views_of_the_file() -> None:
    data = bytes(range(256)) * 64
    found = run(pickle.dumps(data))
    assert isinstance(found, memoryview)
    assert found.readonly
    assert found == data


def test_two_pickles_in_a_row() -> None:
    data = memoryview(pickle.dumps(1) + pickle.dumps("two"))
    reader = Reader(Budget.for_content("x", len(data)))
    first, end = run_pickle(data, reader)
    assert (first, run_pickle(data, reader, start=end)) == (1, ("two", len(data)))


def test_the_class_that_was_asked_for_is_named() -> None:
    data = pickle.dumps(Fraction(1, 2))
    with pytest.raises(CheckpointError, match=r"x\.pkl: .* asks for fractions\.Fraction,"):
        run(data)


# What loads or runs strangers' pickles or code, wherever it would stand.
_LOADERS = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"),
    *("jsonpickle", "pickletools", "torch.load", "torch.hub", "torch.jit.load"),
}


def test_no_module_imports_a_loader_of_pickles() -> None:
    package = Path(datasetgan.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            elif isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only"):
                names = [] if ast.unparse(node.value) == "False" else ["pickle"]
            elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
                names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            found += [f"{path}:{name}" for name in names if name in _LOADERS]
    assert not found


def test_the_package_itself_leaves_pickle_to_its_libraries() -> None:
    from datasetgan.checkpoints import foreign_files, pickle_names, pickle_values, pickles

    for module in (foreign_files, pickle_names, pickle_values, pickles):
        names = set(vars(module))
        assert not names & {"pickle", "eval", "exec", "importlib", "import_module", "__import__"}
