"""C6xx files, C7xx resources, and the codes of the command line."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

FILES: Mapping[str, Entry] = {
    "C601": Entry(
        "unreadable file", "The file does not exist, is a folder, or may not be read. The message says why."
    ),
    "C602": Entry(
        "file that is not JSON",
        "The file is cut off, or in another format. The message says where parsing failed.",
    ),
    "C603": Entry(
        "file with invalid contents",
        "The file can be read but is not a valid circuit: a part is missing, or has the wrong type or "
        "value. The message says where. Nothing is repaired silently, because a circuit with one edge "
        "missing still looks like a circuit.",
    ),
    "C604": Entry(
        "file of another version",
        "The format has changed since the file was written, or this nncirc is older. Read the file with "
        "the nncirc that wrote it, or make the circuit again.",
    ),
    "C605": Entry(
        "file that cannot be written",
        "The folder does not exist or is not writable, the disk is full, or a circuit's notes contain "
        "something that JSON cannot represent. A file is written under another name first and then "
        "renamed, so an earlier file of this name is still intact.",
    ),
    "C606": Entry(
        "unusable output folder",
        "The path in `--out` is a file, or a folder that cannot be created or written to. This is "
        "checked first, so no work is lost. Give another folder.",
    ),
    "C607": Entry(
        "result outside the output folder",
        "A link in the output folder leads out of it, so a file elsewhere would be overwritten. Remove "
        "the link.",
    ),
    "C620": Entry(
        "reference script with errors",
        "A reference circuit is read from a `.circ` script just as `check` reads it, and this script "
        "has errors. `nncirc check` shows all of them with their locations.",
    ),
    "C621": Entry(
        "script without the requested circuit",
        "A circuit is read from a block `circuit ... using reference`. The script has no such block, none of "
        "this name, or several when no name is given. Name the circuit after the file: `FILE.circ:NAME`.",
    ),
    "C622": Entry(
        "reference circuit that needs its model",
        "Circuits are read from scripts without loading a model. Groups made with `where(...)` need a run, "
        "and so do graphs split by the tokens of a dataset, unless `length` gives their number. A graph "
        "needs the number of layers and heads and, for single neurons, the width of its MLPs. These are "
        "known for bundled models, local folders and GPT-2; declare others with `model ... using shape`.",
    ),
    "C623": Entry(
        "circuit that a script cannot express",
        "A script has paths, so the circuit needs edges. Names of groups must be identifiers, and "
        "groups hold at least one head, MLP or neuron. In a graph split by position every token is at "
        "some position, so the last position must be `other`; split MLPs must all have the same number "
        "of neurons. The script is read back before it is saved, and saved only if it gives the same "
        "circuit. JSON (`.json`) can hold every circuit.",
    ),
    "C630": Entry(
        "refused .pt file",
        "torch files contain pickles, and unpickling runs whatever code the author wrote. nncirc uses its "
        "own reader, which knows tensors, numbers, texts, lists and dictionaries, and runs nothing. A file "
        "that contains anything else, comes from torch before 1.6, or is damaged is refused. Ask its author "
        "for JSON or, if you trust the file, load it with torch and save the plain data again.",
    ),
    "C631": Entry(
        "unknown circuit file format",
        "The file extension determines the format. Circuits are read from `.json` (ours, or that of the "
        "EAP-IG package), `.circ`, `.pt`, `.graphml` and `.csv`, and from the folder of an MIB "
        "submission; they are written as `.json`, `.circ`, `.graphml` and `.csv`.",
    ),
    "C632": Entry(
        "file that is not GraphML",
        "It is not XML, is XML of some other kind, or declares entities. The message says where parsing "
        "stopped.",
    ),
    "C633": Entry(
        "file that is not a table of edges",
        "A table begins with a line of column names, among them `sender` and `receiver`. Each further "
        "line is an edge of the graph, none given twice; a score is a finite number or empty.",
    ),
    "C634": Entry(
        "file with missing information",
        "A table of edges does not include the graph it belongs to: `--like CIRCUIT` names another "
        "circuit of the same graph. The format of the EAP-IG package includes the width of the residual "
        "stream. A circuit that a run found records it; for one that was written down, add it with "
        "`--d-model` (768 for GPT-2 small).",
    ),
    "C635": Entry(
        "folder that is not an MIB submission",
        "A submission has a folder for each task and model, such as `ioi_gpt2`, with "
        "`importances.json`, `importances.pt`, or a file for each of several circuits. Such a folder "
        "can also be read by itself. Import several circuits into a folder, not into one file.",
    ),
    "C636": Entry(
        "refusal to write a .pt file",
        "A .pt file is a pickle: loading it runs the code in it. nncirc reads those of the EAP-IG "
        "package, with a reader that runs nothing, and writes none. The package's JSON holds the same "
        "information: `nncirc export found.json --to theirs.json`.",
    ),
    "C637": Entry(
        "scores of all edges in place of a circuit",
        "A run writes the scores of all edges (`eap.json`), and the circuits selected with them. Read "
        "as a circuit, the scores would be one that leaves nothing out. Select edges in the script, "
        "`circuit quick using top`, and use the circuit's file. `export` accepts scores: `nncirc export "
        "eap.json --to eap.csv`, or `--to ioi_gpt2/` for MIB.",
    ),
    "C610": Entry(
        "unknown picture format",
        "The file extension determines the format: `.svg`, `.png`, `.pdf` or, for a circuit, `.dot`.",
    ),
    "C611": Entry(
        "PDF without Graphviz",
        "SVG and PNG need nothing installed; the PDF of a circuit is made by Graphviz's program `dot`. "
        "Install Graphviz, or write an SVG.",
        'render {\n  circuit = small\n  file = "small.pdf"\n}',
        ('"small.pdf"', '"small.svg"'),
    ),
    "C612": Entry(
        "Graphviz failure",
        "Graphviz reported an error, made no picture, or did not finish in time, which happens with "
        "thousands of edges. Write the `.dot` file and draw it elsewhere, or simplify the picture with "
        "`fold`. The circuit itself is not affected.",
    ),
}

RESOURCES: Mapping[str, Entry] = {
    "C701": Entry(
        "not enough memory",
        "A trace holds the activations of all its prompts at once. Fewer prompts per trace give the "
        "same results up to rounding: run with a smaller `--memory` or `--batch`. A smaller dataset, a "
        "coarser graph or a smaller `dtype` needs less memory too, but changes the numbers.",
    ),
    "C702": Entry(
        "interrupted run",
        "Results finished before the interruption are in the output folder, and every file is complete. "
        "The result being computed is not there, and no claim was checked. Run again to get the rest: "
        "stored results are not computed again, and ACDC resumes where it stopped.",
    ),
    "C703": Entry(
        "full disk",
        "A result could not be written completely, so it was not written at all. Results finished "
        "before are complete. Free some space, or choose another folder with `--out`, and run again.",
    ),
    "C704": Entry(
        "too little memory allowed for one prompt",
        "Work is split by prompts, receivers, senders and candidates until it fits into what `--memory` "
        "allows, but one prompt cannot be split. Allow more, or use shorter prompts or a smaller `dtype`. "
        "The limit covers activations only: the model's weights and Python need memory as well.",
    ),
    "C711": Entry(
        "unwritable standard output",
        "The command could not write its output, for example because a disk is full. Results of a run "
        "are complete in its output folder.",
    ),
    "C799": Entry(
        "bug in nncirc",
        "Something went wrong that no check foresaw, so nothing is known about the results of this run: "
        "do not use them. Run again with the environment variable `NNCIRC_TRACEBACK=1` and report what "
        "it prints, with the script.",
    ),
}

ARGUMENTS: Mapping[str, Entry] = {
    "C751": Entry(
        "invalid argument to a Python function",
        "Public functions and classes check their arguments against their annotations before doing "
        "anything else, including every item of a list and every key of a mapping. The message names "
        "the argument, what was expected, and what was found. A string is not accepted as a list of its "
        "letters, nor `True` as a number.",
    ),
    "C752": Entry(
        "missing or unknown arguments to a Python function",
        "The call does not match the function's signature, which Python's `help` shows.",
    ),
    "C753": Entry(
        "incompatible arguments to a Python function",
        "Each argument is valid by itself, but they do not fit together: a graph or circuit and a model "
        "with different layers and heads, or tensors whose shapes do not match. A graph of another "
        "model would name parts of this one only by coincidence.",
    ),
}

COMMAND: Mapping[str, Entry] = {
    "C119": Entry(
        "`--only` with an unknown result",
        "`--only` takes scores, circuits, curves, comparisons and pictures, by the name of their block "
        "or family.",
    ),
    "C123": Entry(
        "nothing to run",
        "A run computes scores, circuits and curves, writes comparisons and pictures, and checks "
        "claims; this script has none of them. Models, data, corruptions, graphs and metrics do nothing "
        "by themselves.",
    ),
}
