"""One file per section of the page: it computes, words and draws its own."""
