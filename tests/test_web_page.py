"""Pages of one file."""

from radenhance.web_page import html_table


def test_a_wide_table_is_moved_within_the_page_and_texts_in_it_have_lines():
    table = html_table(["run", "techniques, of any length"], [["amp_64_1", "checkpointing, " * 9]])
    assert table.startswith("<div><table>")
    assert table.count("class=text") == 1
    assert "<td class=text>checkpointing" in table
