"""What a run of the checks leaves: lines and a table on the terminal, JSON, figures, Markdown and one HTML page."""
