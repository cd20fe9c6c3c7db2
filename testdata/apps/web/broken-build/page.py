"""The shop's page, on this branch."""

import html

BRANCH = "broken-build"
EXTRA = ""


def render(title, data)
    """The page for what the api answered."""
    rows = "\n".join(
        f"<li>{html.escape(item['name'])}: {item['price']} €</li>"
        for item in data["items"]
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{html.escape(title)}</title>
<h1>{html.escape(title)}</h1>
<p>web runs {html.escape(BRANCH)}{EXTRA}</p>
<p>api runs {html.escape(data['branch'])} and says: {html.escape(data['greeting'])}</p>
<ul>
{rows}
</ul>
</html>
"""
