"""Known classes of images come from a table, or from the folders in which images lie."""

import pytest

import alkit
from alkit.errors import DataError, LabelError
from alkit.oracles import folder_classes, read_classes


@pytest.mark.parametrize(
    "text",
    [
        "id,class\na,cat\nward 3/b.png,dog\n",
        "\ufeffid;age;class\r\na;3;cat\r\nward 3/b.PNG; 4 ; dog \r\n\r\n",
        "class\timage\ncat\ta\ndog\tward 3\\b.tif\n",
    ],
)
def test_a_table_has_the_columns_id_and_class_in_any_order(tmp_path, text):
    (tmp_path / "labels.csv").write_bytes(text.encode())
    assert read_classes(tmp_path / "labels.csv") == {"a": "cat", "ward 3/b": "dog"}
    oracle = alkit.LabelOracle(tmp_path / "labels.csv", ("cat", "dog"))
    assert oracle.read("ward 3/b") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with the names of its columns.* class: got an empty file"),
        (b"id,label\na,cat\n", r"got 'id', 'label'. Try: image,class as the first line"),
        (b"id,class\n", "must have a line for each image"),
        (b"id,class\na\n", r"line 2 of .*labels\.csv has no class"),
        (b"id,class\n,cat\n", r"line 2 of .*labels\.csv has no id"),
        (b"id,class\na,cat\na.png,dog\n", r"has two classes of image 'a': got 'cat', and 'dog' on line 3"),
        (b"id,class\na,\xff\xfe\xff\n", "is not a table of classes"),
        (b'id,class\n"a,cat\n', "is not a table of classes"),
        (b"id,class,class\na,cat,dog\n", "must have a different name for each column"),
        (b"id,class\na,cat,\nb,cat,dog\n", r"line 3 of .*labels\.csv must have 2 columns: got 3"),
    ],
)
def test_another_table_is_an_error_that_names_the_file_or_the_line(tmp_path, content, message):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_classes(tmp_path / "labels.csv")


def test_a_missing_table_and_a_class_that_is_none_are_errors(tmp_path):
    with pytest.raises(LabelError, match="labels must be a CSV file that can be read"):
        alkit.LabelOracle(str(tmp_path / "none.csv"), ("cat", "dog"))
    (tmp_path / "labels.csv").write_text("id,class\na,cta\n")
    with pytest.raises(LabelError, match="label of image 'a' must be a class: got 'cta'"):
        alkit.LabelOracle(tmp_path / "labels.csv", ("cat", "dog"))


def test_an_image_outside_the_folders_of_classes_is_an_error():
    assert folder_classes(["cat/1", "dog/a/2"]) == {"cat/1": "cat", "dog/a/2": "dog"}
    with pytest.raises(LabelError, match="1 of 2 images are in no folder with the name of a class: got 2"):
        folder_classes(["cat/1", "2"])
