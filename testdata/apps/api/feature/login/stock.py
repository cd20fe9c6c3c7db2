"""What the shop sells, on this branch."""

BRANCH = "feature/login"


def items():
    return [
        {"name": "Fender", "price": 39},
        {"name": "Mooring line", "price": 24},
        {"name": "Captain's hat (members only)", "price": 55},
    ]
