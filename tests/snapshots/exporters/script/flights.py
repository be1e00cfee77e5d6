"""The pipeline flights, as a program that needs no Jupyter.

Made by nbpipe 1.2.3 from the notebook. It gives the values of the notebook, run from top to
bottom. Relative paths in it start in the folder of the notebook: run it there.

    python flights.py --help
"""

import argparse
import json
import subprocess

import numpy as np
import pandas as pd

# %matplotlib inline

np.random.seed(7)
pd.set_option('display.width', 100)  # wide tables

threshold: int = 15  # minutes at the gate that count as late
folder: str = 'data'
columns: list = ['origin', 'dest']
verbose: bool = False
limit = None

from pathlib import Path

LATE = 0.25


def share(rows, what):
    """Per cent of rows."""
    notes.append(what)
    return rows[what].mean() * 100 > LATE


def shown(frame):
    return frame.shape


def setup():
    """Prepare what later steps use: cell 3 of the notebook.

    Gives: DATA.
    """
    DATA = Path(folder)
    return DATA


# Load
def load(DATA):
    """Step load: cells 4 and 5 of the notebook.

    Takes: DATA.
    Gives: flights.
    Sets: notes.
    Files: flights.csv.
    """
    global notes

    # Read what there is.
    flights = pd.read_csv(DATA / 'flights.csv')
    notes = []

    _show(flights.head(3))

    _shell(f"ls {folder}")
    size = _shell_lines(f"wc -l {folder}/flights.csv")
    return flights


# Clean
def clean_up(flights):
    """Step clean-up: cell 7 of the notebook.

    Takes: flights.
    Gives: flights.
    Sets: name.
    """
    global name

    import warnings

    warnings.simplefilter('ignore')
    flights = flights.dropna()
    flights['late'] = flights['delay'] > threshold
    text = '''
  kept as it is
'''
    for name in columns:
        if verbose:
            print(name)
            share(flights, name)
    return flights


def features_step(flights):
    """Step features: cell 8 of the notebook.

    Takes: flights.
    Gives: features.
    """
    features = flights[columns]

    _show((shown(features), name))
    return features


def report(features):
    """Step report: cell 9 of the notebook.

    Takes: features.
    Gives: summary.
    """
    summary = features.describe()
    summary;
    return summary


def _show(value):
    """Print a value as a notebook shows the last one of a cell."""
    if value is not None:
        print(repr(value))


def _shell(command):
    """Run a shell command and print its output, as `!command` does."""
    with subprocess.Popen(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="")


def _shell_lines(command):
    """Run a shell command and give the lines of its output, as `lines = !command` does."""
    result = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return result.stdout.splitlines()


def _json(kind):
    """Give a reader of JSON values of this kind, for argparse."""

    def read(text):
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    read.__name__ = f"JSON {kind.__name__}"
    return read


def _anything(text):
    """Read JSON, or else keep the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_parameters(arguments=None):
    """Take the parameters from the command line."""
    parser = argparse.ArgumentParser(
        description="The pipeline flights: its steps, in the order of the notebook.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--threshold",
        dest="threshold",
        type=int,
        default=threshold,
        help="minutes at the gate that count as late (default: %(default)s)",
    )
    parser.add_argument(
        "--folder",
        dest="folder",
        type=str,
        default=folder,
        help="default: %(default)s",
    )
    parser.add_argument(
        "--columns",
        dest="columns",
        type=_json(list),
        default=columns,
        help="default: %(default)s",
    )
    parser.add_argument(
        "--verbose",
        dest="verbose",
        action=argparse.BooleanOptionalAction,
        default=verbose,
        help="default: %(default)s",
    )
    parser.add_argument(
        "--limit",
        dest="limit",
        type=_anything,
        default=limit,
        help="default: %(default)s",
    )
    globals().update(vars(parser.parse_args(arguments)))


def main(arguments=None):
    """Run the steps in the order of the notebook."""
    read_parameters(arguments)
    DATA = setup()
    flights = load(DATA)
    flights = clean_up(flights)
    features = features_step(flights)
    summary = report(features)


if __name__ == "__main__":
    main()
