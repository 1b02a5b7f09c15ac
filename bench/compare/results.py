"""Samples become medians, ratios and a table."""
import statistics
from dataclasses import dataclass


SUBJECT = "culvert"  # whose ratios are given
AT_LEAST = "≥: all that the generator gave arrived."


@dataclass(frozen=True)
class Row:
    """One line of the table: the key `value` of the samples of `measure`."""
    measure: str
    value: str
    label: str
    digits: int = 2
    less_is_better: bool = False
    in_picture: bool = True


ROWS = (
    Row("tcp1", "gbit_s", "TCP, 1 stream, Gbit/s"),
    Row("tcp1r", "gbit_s", "TCP, 1 stream, reverse, Gbit/s", in_picture=False),
    Row("tcp4", "gbit_s", "TCP, 4 streams, Gbit/s"),
    Row("tcp4r", "gbit_s", "TCP, 4 streams, reverse, Gbit/s", in_picture=False),
    Row("udp1372", "kpps", "UDP, 1,372 bytes, thousand/s", 1),
    Row("udp64", "kpps", "UDP, 64 bytes, thousand/s", 1),
    Row("udpgso", "gbit_s", "UDP, GSO source, Gbit/s"),
    Row("ping", "mean_us", "ping, mean, µs", 0, less_is_better=True),
    Row("ping", "p99_us", "ping, p99, µs", 0, less_is_better=True, in_picture=False),
    Row("tcp1", "gbit_per_core_second", "gateway, Gbit per core-second, 1 stream"),
    Row("tcp1r", "gbit_per_core_second", "gateway, Gbit per core-second, reverse", in_picture=False),
    Row("tcp4", "gbit_per_core_second", "gateway, Gbit per core-second, 4 streams", in_picture=False),
    Row("tcp1", "core_seconds_per_gbit", "gateway, core-seconds per Gbit, 1 stream", 3, less_is_better=True, in_picture=False),
)


def median(samples, value):
    """The median of what there is; None where nothing was measured."""
    values = [sample[value] for sample in samples if sample.get(value) is not None]
    return statistics.median(values) if values else None


def all_generated(samples):
    """Whether most of the searches ended because the generator gave no more."""
    limits = [sample["limit"] for sample in samples if "limit" in sample]
    return limits.count("generator") * 2 > len(limits)


def summary(measure, samples):
    return {row.value: median(samples, row.value) for row in ROWS if row.measure == measure} | {"all_generated": all_generated(samples)}


def medians(samples):
    """samples[contender][measure] is a list of samples; the medians are by contender, measure and value."""
    return {contender: {measure: summary(measure, taken) for measure, taken in by_measure.items()}
            for contender, by_measure in samples.items()}


def failures(samples):
    """"contender measure" for each sample that could not be taken."""
    return [f"{contender} {measure}" for contender, by_measure in samples.items() for measure, taken in by_measure.items()
            for sample in taken if "error" in sample]


def rows_of(middle):
    """(row, {contender: median}) for each row of the table that anyone has a figure for."""
    for row in ROWS:
        figures = {name: values.get(row.measure, {}).get(row.value) for name, values in middle.items()}
        if any(figure is not None for figure in figures.values()):
            yield row, figures


def cells(middle, row, figures):
    """The figures of a row as text, in the order of the contenders."""
    return [("≥ " if middle[name].get(row.measure, {}).get("all_generated") else "") + shown(figure, row.digits)
            for name, figure in figures.items()]


def ratios(middle):
    """(row, {contender: culvert's figure divided by the contender's})."""
    for row, figures in rows_of(middle):
        ours = figures.get(SUBJECT)
        if ours is not None:
            yield row, {name: ours / theirs if theirs else None for name, theirs in figures.items() if name != SUBJECT}


def table(head, lines):
    """Text in columns: the first column to the left, figures to the right."""
    rows = [head, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    aligned = [[cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
               for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def shown(figure, digits=2):
    return "-" if figure is None else f"{figure:.{digits}f}"


def text(result):
    """The report for a terminal."""
    middle, names = result["medians"], list(result["medians"])
    figures = table(["medians", *names], [[row.label, *cells(middle, row, found)] for row, found in rows_of(middle)])
    others = [name for name in names if name != SUBJECT]
    quotients = [[row.label, *(shown(found[name]) for name in others)] for row, found in ratios(middle)]
    parts = [machine_line(result), figures] + ([AT_LEAST] if "≥" in figures else [])
    if quotients and others:
        parts.append(table(["culvert : contender", *others], quotients))
    if result["failures"]:
        parts.append("FAILED: " + ", ".join(result["failures"]))
    return "\n\n".join(parts)


def machine_line(result):
    machine, settings = result["machine"], result["settings"]
    return (f"{machine['cores']} cores, {machine['cpu']} ({' '.join(machine['cpu_flags'])}), Linux {machine['kernel']}; AEAD by "
            f"{machine.get('aead', 'nobody')}; {settings['rounds']} rounds, {settings['seconds']} s each; "
            f"{machine['busy_cores_before']} cores busy with other things before")
