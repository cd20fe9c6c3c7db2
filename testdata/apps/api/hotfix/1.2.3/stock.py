"""What the shop sells, on this branch."""

BRANCH = "hotfix/1.2.3"


def items():
    return [
        {"name": "Fender", "price": 29},
        {"name": "Mooring line", "price": 24},
    ]
