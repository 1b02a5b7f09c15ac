"""Samples become medians, ratios and a table."""
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table: the key `value` of the samples of `measure`."""
    measure: str
    value: str
    label: str
    digits: int = 2


ROWS = (
    Row("tcp1", "gbit_s", "TCP 1 stream, Gbit/s"),
    Row("tcp1r", "gbit_s", "TCP 1 stream reverse, Gbit/s"),
    Row("tcp4", "gbit_s", "TCP 4 streams, Gbit/s"),
    Row("tcp4r", "gbit_s", "TCP 4 streams reverse, Gbit/s"),
    Row("tcp1", "gbit_per_core_second", "Gbit per core-second, 1 stream"),
    Row("tcp1", "cores", "cores of a gateway, 1 stream"),
)


def median(samples, value):
    """The median of what there is; None where nothing was measured."""
    values = [sample[value] for sample in samples if sample.get(value) is not None]
    return statistics.median(values) if values else None


def medians(samples):
    """samples[contender][measure] is a list of samples; the medians are by contender, measure and value."""
    return {contender: {measure: {row.value: median(taken, row.value) for row in ROWS if row.measure == measure}
                        for measure, taken in by_measure.items()}
            for contender, by_measure in samples.items()}


def rows_of(middle):
    """(row, {contender: median}) for each row of the table that anyone has a figure for."""
    for row in ROWS:
        figures = {name: values.get(row.measure, {}).get(row.value) for name, values in middle.items()}
        if any(figure is not None for figure in figures.values()):
            yield row, figures


def ratios(middle, subject="culvert"):
    """(row, {contender: subject's figure divided by the contender's})."""
    for row, figures in rows_of(middle):
        ours = figures.get(subject)
        if ours is not None:
            yield row, {name: ours / theirs if theirs else None for name, theirs in figures.items() if name != subject}


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
    figures = table(["medians", *names], [[row.label, *(shown(found[name], row.digits) for name in names)] for row, found in rows_of(middle)])
    others = [name for name in names if name != "culvert"]
    quotients = [[row.label, *(shown(found[name]) for name in others)] for row, found in ratios(middle)]
    parts = [machine_line(result), figures]
    if quotients and others:
        parts.append(table(["culvert : contender", *others], quotients))
    return "\n\n".join(parts)


def machine_line(result):
    machine, settings = result["machine"], result["settings"]
    return (f"{machine['cores']} cores, {machine['cpu']} ({' '.join(machine['cpu_flags'])}), Linux {machine['kernel']}; AEAD by "
            f"{machine.get('aead', 'nobody')}; {settings['rounds']} rounds, {settings['seconds']} s each; "
            f"{machine['busy_cores_before']} cores busy with other things before")
