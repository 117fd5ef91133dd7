"""What our pages say of the code is what the code says."""

from __future__ import annotations

import unittest

from tools.pages import ROOT, filled, stale
from tools.reference import table


class Pages(unittest.TestCase):
    def test_no_page_is_out_of_date(self) -> None:
        self.assertEqual([str(path.relative_to(ROOT)) for path in stale()], [], "run `make pages`")

    def test_a_part_stands_between_its_comments(self) -> None:
        page = "above\n<!-- made by `make pages`: x -->\nold\n<!-- end of x -->\nbelow\n"
        new = "above\n<!-- made by `make pages`: x -->\n\nnew\n\n<!-- end of x -->\nbelow\n"
        self.assertEqual(filled(page, "x", "new\n"), new)
        self.assertEqual(filled(new, "x", "new\n"), new)
        with self.assertRaises(ValueError):
            filled(page, "y", "new\n")

    def test_a_cell_cannot_end_its_row(self) -> None:
        self.assertEqual(table(("a",), [("x|y",)]), "| a |\n| --- |\n| x\\|y |\n")
