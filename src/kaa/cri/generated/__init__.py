"""Tables made from published sources by `tools/generate_*.py`: data files, never edited by hand."""
