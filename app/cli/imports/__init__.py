"""``flask users import``: accounts from our own JSON lines, and from the exports of other products.

One module for each product says how its accounts look (``product.Product``); ``files`` and ``rows`` read what it wrote,
``spool`` puts together what several tables say of one account, ``run`` opens the accounts batch by batch.
Promises that a bad record costs no good one, that memory does not grow with the file, and that a run can be repeated.
"""
