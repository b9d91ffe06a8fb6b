"""The report on a study: reads records, writes Markdown, figures and tables. Never imports torch."""
