"""C6xx files, C7xx resources, and the codes of the command line."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["COMMAND", "FILES", "RESOURCES"]

FILES: Mapping[str, Entry] = {
    "C601": Entry(
        "a file that cannot be read",
        "It is not there, is a folder, or may not be read. The message says why.",
    ),
    "C602": Entry(
        "a file that is not JSON",
        "It is cut off, or of another format. The message says where the text stops making sense.",
    ),
    "C603": Entry(
        "a file that is not what it should be",
        "The file can be read, but is no circuit: a part is missing, or has another type or value than such "
        "a file has. The message says where. Nothing is repaired silently, as a circuit with an edge too few "
        "still looks like a circuit.",
    ),
    "C604": Entry(
        "a file of another version",
        "The format has changed since the file was written, or this nncirc is older. Read it with the nncirc "
        "that wrote it, or make the circuit again.",
    ),
    "C605": Entry(
        "a file that cannot be written",
        "The folder is not there, may not be written to, or the disk is full; or a circuit's notes hold "
        "something that JSON has no word for. A file is written under another name first and then renamed, "
        "so what stood there before is still whole.",
    ),
    "C606": Entry(
        "an output folder that cannot be used",
        "What `--out` names is a file, or a folder that cannot be made or written to. It is looked at first, "
        "so nothing was computed in vain. Give another folder.",
    ),
    "C607": Entry(
        "a result that would leave the output folder",
        "A link in the output folder leads out of it, and something elsewhere would be overwritten. Remove "
        "the link.",
    ),
    "C620": Entry(
        "a circuit in a script that has errors",
        "A reference circuit is read from a `.circ` script as `check` reads it, and the script has errors. "
        "`nncirc check` shows all of them with their places.",
    ),
    "C621": Entry(
        "a script without the circuit that is asked for",
        "A circuit is read from a block `circuit ... using reference`. The script has none, or several and "
        "none is named, or none of this name. Which one is meant stands behind the file: `FILE.circ:NAME`.",
    ),
    "C622": Entry(
        "a reference circuit that needs its model",
        "Circuits are read from scripts without loading a model. Groups by `where(...)` need a run, and so "
        "do graphs that are split by the tokens of some prompts, unless `length` says how many. A graph "
        "needs the number of layers and heads, and for single neurons the width of its MLPs: they are known "
        "of bundled models, of local folders and of GPT-2. Others are written as `model ... using shape`.",
    ),
    "C623": Entry(
        "a circuit that a script cannot say",
        "A script has paths, so the circuit has edges; names of groups are identifiers, and groups hold "
        "heads, MLPs or neurons and are not empty. A graph of positions has all tokens at one of them, so "
        "its last position is `other`, and split MLPs have as many neurons each. What was written is read "
        "back before it is saved, and is not saved unless it is the same circuit. JSON (`.json`) holds "
        "every circuit.",
    ),
    "C630": Entry(
        "a .pt file that is not read",
        "Files of torch are pickles inside, and unpickling runs whatever the file's author wrote. They are "
        "read here by a reader of our own that knows tensors, numbers, texts, lists and dictionaries, and "
        "runs nothing. A file with anything else in it, of torch before 1.6, or damaged is refused. Ask its "
        "author for JSON, or, if you trust the file, load it with torch and save the plain data again.",
    ),
    "C631": Entry(
        "a file whose ending names no format of circuits",
        "The ending says what a file is. Circuits are read from `.json` (ours, or of the EAP-IG package), "
        "`.circ`, `.pt`, `.graphml` and `.csv`, and from the folder of a submission to MIB; they are written "
        "as `.json`, `.circ`, `.graphml` and `.csv`.",
    ),
    "C632": Entry(
        "a file that is not GraphML",
        "It is no XML, or XML of something else, or declares entities. The message says where reading ended.",
    ),
    "C633": Entry(
        "a file that is no table of edges",
        "A table begins with a line of column names, among them `sender` and `receiver`, and has an edge of "
        "the graph on each further line, none of them twice; a score is a finite number or empty.",
    ),
    "C634": Entry(
        "a file that does not say all that is needed",
        "A table of edges does not say of which graph it is: `--like CIRCUIT` names another circuit of the "
        "same graph. The EAP-IG package's format holds the width of the residual stream. A circuit that a "
        "run has found says it of its model; for one that was written down, `--d-model 768` does.",
    ),
    "C635": Entry(
        "a folder that is no submission to MIB",
        "A submission has a folder for each task and model, such as `ioi_gpt2`, with `importances.json`, "
        "`importances.pt`, or a file for each of several circuits. Such an entry is read by itself too. "
        "What has several circuits is imported into a folder, not into one file.",
    ),
    "C636": Entry(
        "a .pt file that would be written",
        "Such a file is a pickle: whoever loads it runs what is in it. Those of the EAP-IG package are read "
        "here, by a reader that runs nothing, and none are written. The package's JSON holds the same: "
        "`nncirc export found.json --to theirs.json`.",
    ),
    "C637": Entry(
        "scores of all edges where a circuit is wanted",
        "A run writes the scores of all edges (`eap.json`), and circuits chosen by them. Taken for a "
        "circuit, scores would be one that leaves nothing out. Choose edges in the script, `circuit quick "
        "using top`, and take the circuit's file. `export` takes scores: `nncirc export eap.json --to "
        "eap.csv`, or `--to ioi_gpt2/` for MIB.",
    ),
    "C610": Entry(
        "an unknown format of pictures",
        "A file's ending says its format: `.svg`, `.png`, `.pdf` or, for a circuit, `.dot`.",
    ),
    "C611": Entry(
        "a PDF without Graphviz",
        "SVG and PNG need nothing installed; a circuit's PDF is written by Graphviz' program `dot`. Install "
        "Graphviz, or write an SVG.",
        'render {\n  circuit = small\n  file = "small.pdf"\n}',
        'render {\n  circuit = small\n  file = "small.svg"\n}',
    ),
    "C612": Entry(
        "Graphviz failed",
        "It gave an error, no picture, or no answer in time, which happens with thousands of edges. Write "
        "the `.dot` file and draw it elsewhere, or fold the circuit with `fold`. The circuit itself is not "
        "concerned.",
    ),
}

RESOURCES: Mapping[str, Entry] = {
    "C701": Entry(
        "not enough memory",
        "A trace holds the activations of all its prompts at once. Fewer prompts in a trace give the same "
        "results, to rounding: run with a smaller `--memory` or `--batch`. Fewer prompts altogether, a "
        "coarser graph or a smaller `dtype` need less too, and change the numbers.",
    ),
    "C702": Entry(
        "the run was interrupted",
        "What was finished before is in the output folder, each file whole; what was being computed is not "
        "there, and no claim was checked. Run again to get the rest: what is stored is not computed again, "
        "and ACDC goes on where it was.",
    ),
    "C703": Entry(
        "the disk is full",
        "A result could not be written to its end, so it was not written at all. What was finished before is "
        "whole. Make room, or choose another folder with `--out`, and run again.",
    ),
    "C704": Entry(
        "the memory that is allowed is not enough for one prompt",
        "Work is split by prompts, receivers, senders and candidates until it fits into what `--memory` "
        "allows; one prompt cannot be split. Allow more, use shorter prompts or a smaller `dtype`. The limit "
        "is on activations: the model's weights and Python come on top.",
    ),
    "C711": Entry(
        "standard output that cannot be written to",
        "What a command prints could not be written, because a disk is full for instance. What a run "
        "computed is in its output folder and is whole.",
    ),
    "C799": Entry(
        "a fault of nncirc",
        "Something went wrong that no check had foreseen, so nothing is known about the results of this run: "
        "do not use them. Run again with the environment variable `NNCIRC_TRACEBACK=1` and report what it "
        "prints, with the script.",
    ),
}

ARGUMENTS: Mapping[str, Entry] = {
    "C751": Entry(
        "an argument of a Python function does not fit",
        "Public functions and classes look at their arguments before they work, by their annotations: every "
        "item of a list, every key of a mapping. The message names the argument, what it must be, and what "
        "was found. A string is not taken for a list of its letters, nor `True` for a number.",
    ),
    "C752": Entry(
        "arguments that a Python function does not have, or lacks",
        "The call does not fit the function's signature: `help` of the function shows it.",
    ),
    "C753": Entry(
        "arguments of a Python function that do not belong together",
        "Each by itself would do: a graph or a circuit and a model of other layers and heads, tensors of "
        "shapes that do not match. A graph of another model would name parts of this one by chance.",
    ),
}

COMMAND: Mapping[str, Entry] = {
    "C119": Entry(
        "`--only` for a result that the script does not have",
        "Only scores, circuits, curves, comparisons and pictures can be asked for, by the name of their "
        "block or of their family.",
    ),
    "C123": Entry(
        "nothing to run",
        "A run computes scores, circuits and curves, writes comparisons and pictures, and checks claims; the "
        "script has none of them. Models, data, corruptions, graphs and metrics do nothing by themselves.",
    ),
}
