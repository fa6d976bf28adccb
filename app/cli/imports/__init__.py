"""``flask users import``: accounts from our own JSON lines, and from the exports of other products.

Each product's module describes its accounts (``product.Product``). ``files`` and ``rows`` parse exports, ``spool``
joins the rows of an account, and ``run`` creates accounts in batches. Guarantees that a bad record doesn't affect good
ones, that memory use doesn't grow with the file, and that a run can be repeated.
"""
