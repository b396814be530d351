"""Prints, as JSON, the lines of text on each page of the PDF file that the argument names."""
# mypy: disable-error-code="import-not-found"

import json
import sys

from pypdf import PdfReader

pages = PdfReader(sys.argv[1]).pages
sys.stdout.write(json.dumps([page.extract_text(extraction_mode="layout").splitlines() for page in pages]))
