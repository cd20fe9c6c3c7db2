"""What the shop sells, on this branch."""

BRANCH = "main"


def items():
    return [
        {"name": "Fender", "price": 39},
        {"name": "Mooring line", "price": 24},
    ]
