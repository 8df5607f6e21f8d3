"""The schedule of a CronJob: five fields, or a name such as @daily; what is wrong with one, if anything.

Source: crontab(5), and robfig/cron's sentences.
"""

NAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = {name: month for month, name in enumerate(MONTH_NAMES, 1)}
DAYS = {name: day for day, name in enumerate(DAY_NAMES)}

FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),  # minute
    (0, 23, {}),  # hour
    (1, 31, {}),  # day of the month
    (1, 12, MONTHS),
    (0, 6, DAYS),
)


def schedule_problem(text: str) -> str:
    """Why the text is no schedule; "" when it is one."""
    if text.startswith("@"):
        known = text in NAMES or text.startswith("@every ")
        return "" if known else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != len(FIELDS):
        return f"expected exactly {len(FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, (low, high, names) in zip(fields, FIELDS, strict=True):
        for part in field.split(","):
            if problem := _part_problem(part, low, high, names):
                return problem
    return ""


def _part_problem(part: str, low: int, high: int, names: dict[str, int]) -> str:
    """One of `*`, `3`, `1-5`, `*/15`, `mon-fri`, `0-30/5`."""
    span, slash, step = part.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        return (
            f"failed to parse int from {step}"
            if not step.isdigit()
            else f"step of range should be a positive number: {part}"
        )
    if span in ("*", "?"):
        return ""
    bounds = span.split("-")
    if len(bounds) > 2:
        return f"too many hyphens: {part}"
    numbers = []
    for bound in bounds:
        number = names.get(bound.lower(), int(bound) if bound.isdigit() else None)
        if number is None:
            return f"failed to parse int from {bound}"
        numbers.append(number)
    if numbers[0] < low:
        return f"beginning of range ({numbers[0]}) below minimum ({low}): {part}"
    if numbers[-1] > high:
        return f"end of range ({numbers[-1]}) above maximum ({high}): {part}"
    if numbers[0] > numbers[-1]:
        return f"beginning of range ({numbers[0]}) beyond end of range ({numbers[-1]}): {part}"
    return ""
