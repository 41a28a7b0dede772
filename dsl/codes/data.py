"""C3xx: prompts, tokens, positions and answers, when a script runs.

The examples use `tiny`, a model from `model tiny using bundled { name = "ioi-4l" }`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

_CLEAN = 'clean = ["When Mary and John went to the store, John gave a drink to"]'

DATA: Mapping[str, Entry] = {
    "C301": Entry(
        "clean and corrupted prompts that do not align",
        "Patching puts the activation at position p of one run into position p of the other. This is "
        "meaningful only if position p is the same place in both prompts, so a pair must have the same "
        "number of tokens and its slots at the same positions. The table shows the first token at which "
        "a pair differs. Use words with the same number of tokens, or leave out such pairs.",
        f"dataset pairs using prompts {{\n  model = tiny\n  {_CLEAN}\n"
        '  corrupt = ["When Mary and John went to the store, Mary and John gave a drink to"]\n}\n'
        "corruption other using counterpart {\n  data = pairs\n}",
        ("store, Mary and John", "store, Anna"),
    ),
    "C302": Entry(
        "corruption that changes nothing",
        "In some prompts the clean and the corrupted tokens are the same, so every effect there is 0 "
        "whatever the model does, and means over prompts are too small. Slots drawn on one line differ "
        "in every prompt; slots on separate lines can be equal by chance.",
        'dataset other using template {\n  model = tiny\n  size = 200\n  prompt = "When {IO} and {S} went to '
        'the store, {S} gave a drink to"\n  slots {\n    IO, S = names\n    C = names\n  }\n}\n'
        "corruption replaced using replace {\n  data = other\n  S.2 -> C\n}",
        ("S = names\n    C", "S, C"),
    ),
    "C303": Entry(
        "answer or foil that is not one known token",
        "Metrics read one row of logits: the probability of one token. For a longer answer, only the "
        "first token would be measured, which is a different question. Usually the space is missing: "
        'after `gave it to` comes `" Mary"`, and the prompt itself does not end in a space. For answers '
        "of several tokens, use `teacher_forced = true`.",
        f'dataset other using prompts {{\n  model = tiny\n  {_CLEAN}\n  answer = " Mary and"\n}}',
        ('Mary and"', 'Mary"'),
    ),
    "C304": Entry(
        "foil without a different answer",
        "The foil is the wrong continuation that the answer is compared with. If both are the same "
        "token, their difference is 0 whatever the model does; without an answer, there is no "
        "difference to measure.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"\n'
        '  answer = " {IO}"\n  foil = " {IO}"\n  slots {\n    IO, S = names\n  }\n}',
        ('foil = " {IO}"', 'foil = " {S}"'),
    ),
    "C305": Entry(
        "unknown word list",
        "The word lists that come with nncirc are `names`, `places` and `objects`. Write out other "
        "words as a list of strings.",
    ),
    "C306": Entry(
        "word that the tokenizer does not know",
        "The word became the unknown token, and the model cannot tell it from any other unknown word, "
        "so the results would not be about the prompt as written. Use words from the vocabulary.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = "When {IO} and {S} went to the moon, {S} gave a drink to"\n'
        "  slots {\n    IO, S = names\n  }\n}",
        ("moon", "store"),
    ),
    "C307": Entry(
        "slot that does not begin and end between tokens",
        "A slot's position is the position of its tokens. If a token also contains text next to the "
        "slot, patching there would patch that text as well; if the slot has no token, there is nothing "
        "to patch. Put white space around the slot, or choose words that the tokenizer keeps apart.",
    ),
    "C308": Entry(
        "slot or position missing from some prompts",
        "Every prompt must have the position at which it is read, patched or replaced; with several "
        "phrasings, every phrasing must have it. Otherwise a mean over prompts would mix different things.",
    ),
    "C309": Entry(
        "too few words for the slots",
        "Slots declared together are drawn without replacement, so each prompt needs as many different "
        "words as there are slots. Named lists use only words that are one token of this tokenizer "
        "wherever the prompts use them, which leaves few if the vocabulary is small. Write out words "
        "that are one token, or make blocks of random tokens shorter.",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 400\n}",
        ("400", "10"),
    ),
    "C310": Entry(
        "fewer distinct prompts than requested",
        "All prompts of a dataset differ: a repeated one would count twice in every mean, and errors "
        "would look smaller than they are. Lower `size`, or give the slots more words.",
        'dataset other using template {\n  model = tiny\n  size = 8\n  prompt = "Then {S} gave a drink to"\n'
        '  slots {\n    S = ["Mary", "John"]\n  }\n}',
        ("size = 8", "size = 2"),
    ),
    "C311": Entry(
        "invalid prompt or template",
        "A template is malformed (write a literal brace twice, `{{`), a slot is declared twice or has "
        "the name of a position, a phrasing is given twice, or a prompt is empty or not text.",
    ),
    "C312": Entry(
        "option that is not a whole number",
        "Sizes, lengths and copies are whole numbers from 1; a seed is any whole number.",
    ),
    "C313": Entry(
        "tokenizer without character offsets",
        "Slots are located among the tokens by the characters that each token covers, which only fast "
        "tokenizers report. Guessing could patch the wrong words without any sign of it. Use a model "
        "whose folder has a `tokenizer.json`.",
    ),
    "C314": Entry(
        "corruption that does not fit the prompts",
        "`replace` needs prompts made from a template and at least one of their slots; `counterpart` "
        "needs the corrupted prompts of a paired dataset, a `corrupt` list or column.",
    ),
    "C315": Entry(
        "unreadable prompt file",
        "The file does not exist, is not a regular file, may not be read, is not UTF-8, or its name "
        "does not show whether it is CSV or JSON Lines. The path is relative to the folder of the "
        "script, not to where nncirc is run.",
        'dataset other using file {\n  model = tiny\n  path = "no/such/file.csv"\n}',
    ),
    "C316": Entry(
        "malformed line in a prompt file",
        "The message names the line. No line is skipped: the results would be about other prompts than "
        "those in the file. In CSV, put a field that contains a comma or a quote in double quotes, and "
        "double any quote inside it. In JSON Lines, each line is one flat object.",
    ),
    "C317": Entry(
        "missing column in a prompt file",
        "`clean`, `corrupt`, `answer` and `foil` name columns of the file: those in the first line of a "
        "CSV file, or the keys of each JSON Lines object.",
    ),
    "C318": Entry(
        "prompts, answers and foils that do not pair up",
        "There are no prompts, or there are more of one kind than of the other, so their pairing would be a "
        "guess. Give every prompt its own, in the same order; one answer or foil may serve all prompts.",
    ),
    "C319": Entry(
        "duplicate start token, or an end token after the prompt",
        "Either the start token is in the prompt and the tokenizer adds it as well, so the model sees "
        "it twice, as it never did in training; or the tokenizer ends every prompt with an end token, "
        "and what is read at `end` is the prediction after that token, not the answer. Leave the token "
        "out of the prompt, or turn it off in the tokenizer's configuration.",
    ),
    "C331": Entry(
        "metric without its answer or foil",
        "`logit_diff` compares answer and foil; `logprob` and `prob` read the answer. Some prompts lack "
        "them. Give the dataset both, or measure `kl_divergence`, which needs neither.",
    ),
    "C333": Entry(
        "mean per position over prompts of different lengths",
        "`over = [prompts]` computes one mean for each position. In prompts of different lengths, a "
        "position holds unrelated words, and the mean would represent none of them. Average over "
        "positions as well, or use phrasings of equal length.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = ["Then {S} gave a drink to", "When {S} went to the store, Mary gave a drink to"]\n'
        '  answer = " {S}"\n  foil = " Anna"\n  slots {\n    S = ["John", "Peter"]\n  }\n}\n'
        "corruption average using mean {\n  data = other\n  over = [prompts]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
        ("prompts", "prompts, positions"),
    ),
    "C334": Entry(
        "`positions = all` over prompts of different lengths",
        "Each token gets its own column, averaged over prompts, so token 5 must be the same place in "
        "all of them. Name positions by their slots: these correspond at any length.",
        "dataset other using template {\n  model = tiny\n  size = 4\n"
        '  prompt = ["Then {S} gave a drink to", "When {S} went to the store, Mary gave a drink to"]\n'
        '  answer = " {S}"\n  foil = " Anna"\n  slots {\n    S, C = ["John", "Peter", "Paul"]\n  }\n}\n'
        "corruption changed using replace {\n  data = other\n  S -> C\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = changed\n"
        "  metric = recovered\n  positions = all\n}",
        ("all", "[S, end]"),
    ),
    "C335": Entry(
        "attention statistic without suitable tokens",
        "Statistics of repetition such as `duplicate_token` and `prefix_matching` measure how much a "
        "head attends from a token to its earlier occurrence, or to the token after that. Without a "
        "repetition there is nothing to average over. `previous_token`, `current_token`, `first_token` "
        "and `entropy` need prompts of more than one token.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["When Mary went to the store"]\n}\n'
        "scores patterns using attention_statistics {\n  graph = full\n  data = other\n"
        "  of = [duplicate_token]\n}",
        (
            'prompts {\n  model = tiny\n  clean = ["When Mary went to the store"]',
            "tokens {\n  model = tiny\n  size = 1\n  length = 8\n  copies = 2",
        ),
    ),
    "C336": Entry(
        "prompt longer than the model reads",
        "Beyond its last position, the model has no embedding, or one that was never trained. "
        "Truncating the prompt would measure a different one. Use shorter prompts.",
        "dataset other using tokens {\n  model = tiny\n  size = 1\n  length = 20\n  copies = 2\n}",
        ("length = 20", "length = 10"),
    ),
    "C337": Entry(
        "token that the model does not have",
        "The tokenizer has more tokens than the model has embeddings, so it is not the one the model "
        "was trained with, and its other tokens would mean something else to the model as well. Use the "
        "model's own: omit the key `tokenizer`.",
    ),
    "C340": Entry(
        "empty answer set, or the same token twice",
        "The tokens in a set of answers are equally right, and each counts once. Either the set is empty, or "
        "two of its texts are the same token, possibly in some prompts only, once the slots are filled in.",
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} gave a drink to"\n'
        '  answer = [" {S}", " Mary"]\n  slots {\n    S = ["John", "Mary"]\n  }\n}',
        ('"Mary"', '"Peter"'),
    ),
    "C341": Entry(
        "mean over prompts that lack a place of the template",
        "With `over = [prompts, slots]` every token gets the mean of the tokens at the same place of "
        "the template: the same occurrence of a slot, or the same distance after it in the same "
        "phrasing. The prompts of `source` have no such place. Use a source with the same template, or "
        "the mean over all positions.",
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} went to the '
        'store"\n'
        '  slots {\n    S = ["John", "Peter"]\n  }\n}\n'
        "corruption average using mean {\n  data = ioi\n  source = other\n  over = [prompts, slots]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
        ("  source = other\n", ""),
    ),
    "C342": Entry(
        "prompt without a partner to shuffle with",
        "`shuffle` gives every prompt the activations of another prompt with the same number of tokens "
        "and its slots at the same positions. This prompt has no such partner, or all its partners are "
        "equal to it.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met John", "Then Mary '
        'met"]\n}\n'
        "corruption changed using shuffle {\n  data = other\n}",
        ('"Then Mary met"]', '"Then John met Mary"]'),
    ),
    "C344": Entry(
        "invalid token ids for answers",
        "`answer_ids` and `foil_ids` are ids from this tokenizer's vocabulary, whole numbers from 0. "
        "Give them instead of `answer` and `foil`, not with them. Ids from another tokenizer would be "
        "different words.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met"]\n  answer_ids = 50256\n}',
        ("50256", "5"),
    ),
    "C346": Entry(
        "token at two positions of a graph, or at none",
        "In a graph split by position, every token of every prompt must be at exactly one position. "
        "`end` is the last token, even if it belongs to a slot; `S` is every occurrence of S. In a "
        "script, tokens that no position names are at `other`.",
    ),
    "C348": Entry(
        "too many prompts, tokens or answers",
        "`all_inputs` runs every input of `length` tokens: the size of the vocabulary to that power, "
        "once for every counterpart. Only programs with a small vocabulary can be run on all inputs. "
        "Other datasets have at most a million prompts, a hundred thousand tokens per prompt, and ten "
        "thousand answers in a set.",
        "dataset other using all_inputs {\n  model = tiny\n  length = 3\n}",
        ("length = 3", "length = 1"),
    ),
    "C350": Entry(
        "task whose words the tokenizer does not have",
        "The words of a task are single tokens, so that clean and corrupted prompts have the same length and "
        "each answer is one token. Too few of them are single tokens of this tokenizer. Most tasks were made "
        "for GPT-2; for a model with a small vocabulary, write your own prompts with a `template`.",
        'dataset other using task {\n  task = "capitals"\n  model = tiny\n  size = 4\n}',
        ('"capitals"', '"ioi"'),
    ),
    "C351": Entry(
        "unknown task",
        "`nncirc.circuits.tasks.TASKS` has every task by name; `docs/tasks.md` describes each one.",
    ),
    "C353": Entry(
        "program inputs for another model",
        "The tasks of compiled programs are inputs for the bundled models they are named after. Another "
        "model may have tokens for the same symbols but does not compute what the program does. Use the "
        "bundled model, or a compiled model that reads exactly these symbols.",
        'dataset other using task {\n  task = "tracr_reverse"\n  model = tiny\n  size = 4\n}',
        ('"tracr_reverse"', '"ioi"'),
    ),
}
