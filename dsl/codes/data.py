"""The codes C3xx, of what is wrong with prompts, tokens, positions and answers when a script runs.

The examples are about `tiny`, a model from `model tiny using bundled { name = "ioi-4l" }`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["DATA"]

_CLEAN = 'clean = ["When Mary and John went to the store, John gave a drink to"]'

DATA: Mapping[str, Entry] = {
    "C301": Entry(
        "clean and corrupted prompts do not align",
        "Patching puts the activation at position p of one run into position p of the other. That measures "
        "something only if position p is the same word's place in both, so a pair must have equally many "
        "tokens and its slots at the same positions. The table shows the first token at which a pair parts. "
        "Use words of equally many tokens, or leave such pairs out.",
        f"dataset pairs using prompts {{\n  model = tiny\n  {_CLEAN}\n"
        '  corrupt = ["When Mary and John went to the store, Mary and John gave a drink to"]\n}\n'
        "corruption other using counterpart {\n  data = pairs\n}",
        f"dataset pairs using prompts {{\n  model = tiny\n  {_CLEAN}\n"
        '  corrupt = ["When Mary and John went to the store, Anna gave a drink to"]\n}\n'
        "corruption other using counterpart {\n  data = pairs\n}",
    ),
    "C302": Entry(
        "a corruption that changes nothing",
        "In some prompts the clean and the corrupted tokens are the same, so every effect there is 0 "
        "whatever the model does, and the means over prompts come out too small. Slots that are drawn on one "
        "line differ in every prompt; slots of separate lines can be equal by chance.",
        'dataset other using template {\n  model = tiny\n  size = 200\n  prompt = "When {IO} and {S} went to '
        'the store, {S} gave a drink to"\n  slots {\n    IO, S = names\n    C = names\n  }\n}\n'
        "corruption replaced using replace {\n  data = other\n  S.2 -> C\n}",
        'dataset other using template {\n  model = tiny\n  size = 200\n  prompt = "When {IO} and {S} went to '
        'the store, {S} gave a drink to"\n  slots {\n    IO, S, C = names\n  }\n}\n'
        "corruption replaced using replace {\n  data = other\n  S.2 -> C\n}",
    ),
    "C303": Entry(
        "an answer or foil that is not one known token",
        "Metrics read one row of logits: the probability of one token. Of a longer answer only the first "
        "token would be measured, which is another question. Mostly the space is missing: after `gave it to` "
        'comes `" Mary"`, and the prompt itself does not end in a space. Answers of several tokens are asked '
        "for with `teacher_forced = true`.",
        f'dataset other using prompts {{\n  model = tiny\n  {_CLEAN}\n  answer = " Mary and"\n}}',
        f'dataset other using prompts {{\n  model = tiny\n  {_CLEAN}\n  answer = " Mary"\n}}',
    ),
    "C304": Entry(
        "a foil that nothing can be compared with",
        "The foil is the wrong continuation of which the right one is to be told. Where both are the same "
        "token their difference is 0 whatever the model does, and a foil without an answer has no "
        "difference.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"\n'
        '  answer = " {IO}"\n  foil = " {IO}"\n  slots {\n    IO, S = names\n  }\n}',
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"\n'
        '  answer = " {IO}"\n  foil = " {S}"\n  slots {\n    IO, S = names\n  }\n}',
    ),
    "C305": Entry(
        "an unknown word list",
        "The lists that come with nncirc are `names`, `places` and `objects`. Other words are written out as "
        "a list of strings.",
    ),
    "C306": Entry(
        "a word that the tokenizer does not know",
        "It became the token for everything unknown, which the model cannot tell from any other unknown "
        "word, so what is measured would not be about the prompt as it reads. Use words of the vocabulary.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = "When {IO} and {S} went to the moon, {S} gave a drink to"\n'
        "  slots {\n    IO, S = names\n  }\n}",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"\n'
        "  slots {\n    IO, S = names\n  }\n}",
    ),
    "C307": Entry(
        "a slot that does not begin and end between tokens",
        "A slot's position is its tokens. If a token also holds text from beside the slot, patching there "
        "would patch that text as well; if no token stands for the slot, there is nothing to patch. Put "
        "white space around the slot, or choose words that the tokenizer keeps apart.",
    ),
    "C308": Entry(
        "a slot or a position that some prompts lack",
        "Each prompt must have the position at which it is read, patched or replaced: with several phrasings "
        "that means every one of them. Otherwise a mean over prompts would be over different things.",
    ),
    "C309": Entry(
        "too few words for the slots",
        "Slots that are declared together are drawn without replacement, so each prompt needs as many "
        "different words as there are slots. Named lists use only words that are one token of this tokenizer "
        "wherever the prompts have them, which leaves few with a small vocabulary. Write out words that are, "
        "or make blocks of random tokens shorter.",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 400\n}",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 10\n}",
    ),
    "C310": Entry(
        "fewer different prompts than asked for",
        "All prompts of a dataset differ: a repeated one would count twice in every mean, and errors would "
        "look smaller than they are. Lower `size`, or give the slots more words.",
        'dataset other using template {\n  model = tiny\n  size = 8\n  prompt = "Then {S} gave a drink to"\n'
        '  slots {\n    S = ["Mary", "John"]\n  }\n}',
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} gave a drink to"\n'
        '  slots {\n    S = ["Mary", "John"]\n  }\n}',
    ),
    "C311": Entry(
        "a prompt that cannot be read as one",
        "A template is malformed (a literal brace is written twice, `{{`), a slot is declared twice or "
        "called like a position, a phrasing stands twice, or a prompt is empty or no text.",
    ),
    "C312": Entry(
        "an option that is no whole number",
        "Sizes, lengths and copies count from 1; a seed is any whole number.",
    ),
    "C313": Entry(
        "a tokenizer that does not say where its tokens stand",
        "Slots are found among the tokens by the characters that each token covers, which only fast "
        "tokenizers report. Guessing would put patches at the wrong words without a sign of it. Use a model "
        "whose folder has a `tokenizer.json`.",
    ),
    "C314": Entry(
        "prompts that this corruption cannot change",
        "`replace` needs prompts made from a template and at least one of their slots; `counterpart` needs "
        "the corrupted prompts of a paired dataset, a `corrupt` list or column.",
    ),
    "C315": Entry(
        "a file of prompts that cannot be read",
        "It is not there, is no file, may not be read, is not UTF-8, or its name does not say whether it is "
        "CSV or JSON lines. The path is relative to the folder of the script, not to where nncirc is run.",
        'dataset other using file {\n  model = tiny\n  path = "no/such/file.csv"\n}',
    ),
    "C316": Entry(
        "a broken line in a file of prompts",
        "The message names the line. Nothing is skipped: results would be about other prompts than the file "
        "has. In CSV a field with a comma or a quote stands in double quotes, and a quote inside it is "
        "doubled; in JSON lines each line is one flat object.",
    ),
    "C317": Entry(
        "a column that a file of prompts lacks",
        "`clean`, `corrupt`, `answer` and `foil` name columns of the file: in CSV by its first line, in JSON "
        "lines by the keys of each object.",
    ),
    "C318": Entry(
        "prompts, answers and foils that do not pair up",
        "There are no prompts, or there are more of one kind than of the other, so which belongs to which "
        "would be a guess. Give every prompt its own, in the same order; one answer or foil may stand for "
        "all.",
    ),
    "C319": Entry(
        "a token that the tokenizer adds in the wrong place",
        "Either the start token is in the prompt and added by the tokenizer as well, so the model sees it "
        "twice, as it never did in training; or the tokenizer closes every prompt with an end token, and "
        "what is read at `end` is the prediction behind that, not the answer. Leave it out of the prompt, or "
        "turn it off in the tokenizer's configuration.",
    ),
    "C331": Entry(
        "a metric without the answer or foil that it reads",
        "`logit_diff` compares answer and foil, `logprob` and `prob` read the answer, and some prompts have "
        "none. Give the dataset both, or measure `kl_divergence`, which needs neither.",
    ),
    "C332": Entry(
        "no position at which the metric could be read",
        "With `answer = next` the answer is the token behind each measured position, and the last position "
        "of a prompt has none behind it. Measure earlier, such as `at = block.2`.",
    ),
    "C333": Entry(
        "a mean for each position over prompts of several lengths",
        "`over = [prompts]` keeps one mean for each position. In prompts of different lengths the same "
        "position holds different words, and the mean would be of neither. Average over positions as well, "
        "or use phrasings of equal length.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = ["Then {S} gave a drink to", "When {S} went to the store, Mary gave a drink to"]\n'
        '  answer = " {S}"\n  foil = " Anna"\n  slots {\n    S = ["John", "Peter"]\n  }\n}\n'
        "corruption average using mean {\n  data = other\n  over = [prompts]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = ["Then {S} gave a drink to", "When {S} went to the store, Mary gave a drink to"]\n'
        '  answer = " {S}"\n  foil = " Anna"\n  slots {\n    S = ["John", "Peter"]\n  }\n}\n'
        "corruption average using mean {\n  data = other\n  over = [prompts, positions]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
    ),
    "C334": Entry(
        "`positions = all` over prompts of several lengths",
        "Each token gets a column of its own, averaged over prompts, so token 5 must be the same place in "
        "all of them. Name the positions by their slots: those correspond whatever the length.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = ["Then {S} gave a drink to", "When {S} went to the store, Mary gave a drink to"]\n'
        '  answer = " {S}"\n  foil = " Anna"\n  slots {\n    S, C = ["John", "Peter", "Paul"]\n  }\n}\n'
        "corruption changed using replace {\n  data = other\n  S -> C\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = changed\n"
        "  metric = recovered\n  positions = all\n}",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = ["Then {S} gave a drink to", "When {S} went to the store, Mary gave a drink to"]\n'
        '  answer = " {S}"\n  foil = " Anna"\n  slots {\n    S, C = ["John", "Peter", "Paul"]\n  }\n}\n'
        "corruption changed using replace {\n  data = other\n  S -> C\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = changed\n"
        "  metric = recovered\n  positions = [S, end]\n}",
    ),
    "C335": Entry(
        "a statistic of repeated tokens on prompts that repeat none",
        "`duplicate_token` and `prefix_matching` say how much a head attends from a token to its earlier "
        "occurrence, or to what followed that. Without a repetition there is nothing to average over.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["When Mary went to the store"]\n}\n'
        "scores patterns using attention_statistics {\n  graph = full\n  data = other\n"
        "  of = [duplicate_token]\n}",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 8\n  copies = 2\n}\n"
        "scores patterns using attention_statistics {\n  graph = full\n  data = other\n"
        "  of = [duplicate_token]\n}",
    ),
    "C336": Entry(
        "a prompt that is longer than the model reads",
        "Behind its last position the model has no embedding, or one that was never trained. Cutting the "
        "prompt off would measure another one. Use shorter prompts.",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 20\n  copies = 2\n}",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 10\n  copies = 2\n}",
    ),
    "C337": Entry(
        "a token that the model does not have",
        "The tokenizer knows more tokens than the model has embeddings, so it is not the one that the model "
        "was trained with, and the other tokens would mean something else to the model as well. Take the "
        "model's own: leave the key `tokenizer` away.",
    ),
    "C346": Entry(
        "a token at two positions of a graph, or at none",
        "A graph that is split by position needs every token of every prompt at exactly one of them. `end` "
        "is the last token, whatever slot it belongs to; `S` is every occurrence of S. In a "
        "script, tokens that no position names are `other`.",
    ),
    "C350": Entry(
        "a task whose words the tokenizer does not have",
        "The words of a task are single tokens, so that clean and corrupted prompts have equally many and "
        "answers are one. Of this tokenizer too few are. Most tasks were made for GPT-2; a model of a small "
        "vocabulary needs prompts of its own, from a `template`.",
        'dataset other using task {\n  task = "capitals"\n  model = tiny\n  size = 4\n}',
        'dataset other using task {\n  task = "ioi"\n  model = tiny\n  size = 4\n}',
    ),
    "C351": Entry(
        "an unknown task",
        "`nncirc.circuits.tasks.TASKS` has every task by its name; `docs/tasks.md` says what each is.",
    ),
    "C352": Entry(
        "a corruption that the task does not have",
        "A task comes with corruptions by name (`docs/tasks.md`). Others are made with `replace`, from the "
        "slots of the task.",
    ),
    "C353": Entry(
        "a program's inputs for another model",
        "The tasks of compiled programs are inputs of the bundled models that they are named after. Another "
        "model may have tokens for the same symbols, but does not compute what the program does. Take the "
        "bundled model, or a compiled one that reads just these symbols.",
        'dataset other using task {\n  task = "tracr_reverse"\n  model = tiny\n  size = 4\n}',
        'dataset other using task {\n  task = "ioi"\n  model = tiny\n  size = 4\n}',
    ),
}
