"""Text of others in a terminal: what is on record may come from anyone."""


def visible(text: str) -> str:
    """One line in which characters that a terminal would obey, and those that turn the writing round, are spelled out.

    A record's error or a class's name could otherwise move the cursor, change colours, or show another text.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
