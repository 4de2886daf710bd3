"""One HTML file that opens with no network: `render(ReportData) -> str`, and what goes into it."""
