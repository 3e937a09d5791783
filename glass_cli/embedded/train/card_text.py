"""The words of the embedded models' card, around the figures that :mod:`card` puts in."""

CARD = """# The embedded emoji models

A text-to-image flow model of 64x64 scenes, its rewards and a judge. They ship with glass so that
every command works offline; they are made to be steered, not to be beautiful.

## Data

Scenes rendered by `glass_cli/embedded/world`: objects of GenEval's 80 classes (Noto Color Emoji,
SIL Open Font License 1.1; eleven without an emoji drawn by `world/drawn.py`), in their own or one
of ten colours, on six plain grounds. A scene has one to four objects in groups of different
classes, with relations between the groups: left of, right of, above, below. Objects are 32 or 24
pixels large and stand on a grid of 8 pixels. Prompts are in GenEval's wording, with four openings
("a photo of ..."). Nothing was downloaded, and no photograph is in the data.

One pair of groups in sixteen, by a hash, and all contents of GenEval's published prompts but single
objects, were never trained on (`world/content.py`); everything below is measured on these.

## Parts

| part | what | pictures seen | last figures |
|---|---|---|---|
{rows}

All parts: AdamW, weights averaged over steps, stored in half precision; CPU cores, stopped and
resumed on the way, by `python -m glass_cli.embedded.train`. The same command makes such models
again, not the same bits. The rewards and the judge share neither weights nor training pictures.
{measured}"""

FLOW = """
## What the flow draws

Plain ODE, guidance {guidance:g}{how}, one picture a prompt, {count:,} prompts a row, judged by the
embedded detector (`python -m glass_cli.embedded.train.measure`):

{table}
"""

BINDING = """
## Whose colour, whose side

Two prompts of the same words, such as "a red dog and a blue cat" and "a blue dog and a red cat":
the share of {count:,} held-out scenes a row whose noise the flow predicts better under their own
(`python -m glass_cli.embedded.train.binding`), before guidance is built in. 0.5 is chance: to such
a flow a prompt is a list of words, and of two objects rightly there it gives half the wrong
colours.

{table}
"""

DETECTOR = """
## The detector of `glass eval`

It says of every cell of 8x8 pixels whether an object's centre is there, its class, its colour and
its box (`glass_cli/detectors/grid_network.py`). It was trained on pictures of its own
(`embedded/train/imperfect.py`: any number of objects, on the grid and off it, some faded, cut off,
overlapping or turning into another class), most of them through the codec, some blurred and noised,
one in twenty noise without any object. An object in its own colours has no colour to it: a natural
apple is not "a red apple".

{count:,} held-out scenes and as many hard negatives, wrong in one respect, judged by GenEval's
rules against the scene's own prompt, any object more being wrong: the share of verdicts that are
right.

{table}
"""

LOOKED = """
### Looked at

{all:,} pictures of the model's own, judged by eye without a sight of the detector's verdict:

```sh
{command}
```

| task | pictures | the detector said the same |
|---|---|---|
{rows}
| all | {all:,} | {share:.3f} |

{remark}
"""

REWARD = """
## reward={name}, path=embedded:{name}

The share of {count:,} held-out pairs a row, which differ in one respect, whose right picture has
the higher score:

{table}
"""

DRAWS = """
## Rewards on the model's own pictures

{prompts:,} prompts that were never trained on, {draws} ODE draws of {calls} calls each, judged by
the embedded detector, any object more being wrong (`python -m glass_cli.embedded.train.draws`).
AUC: how often a right draw has a higher reward than a wrong one of its prompt, over the {both}
prompts that have both. Best-of-N: the share of answers that are right. x_hat: how much of the
variance of the final reward within a prompt that of x_hat explains, at t.

{table}
"""
