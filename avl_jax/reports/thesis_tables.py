"""Tables of the thesis as data: printed numbers and the runs that fill them.

A row names the recipe of the run that fills it and the evaluation, as configs
name them (`config.recipe`, `config.eval_data.evaluations`). Rows without a
recipe are of other works: they are printed beside ours and never filled.
"""

# ruff: noqa: E501, a line of a table stays whole

import typing

from avl_jax.retrieval.task import Task


def _directions(one: str, other: str) -> tuple[Task, Task]:
  return Task(one, other), Task(other, one)


A_V = _directions('audio', 'video')
T_AV = _directions('text', 'audio+video')
AT_V = _directions('audio_text', 'video')
RECALLS = ('R@1', 'R@5', 'R@10')
RANKED = (*RECALLS, 'median_rank')
R10 = ('R@10',)
NAMES = {
  'youcook2': 'YouCook2',
  'crosstask': 'CrossTask',
  'msrvtt': 'MSR-VTT',
  'lsmdc': 'LSMDC',
  'youcook_japanese': 'YouCook-Japanese',
  'speech241': 'Speech-241',
  'sounds241': 'Sounds-241',
  'places_en': 'Places, English',
  'places_ja': 'Places, Japanese',
  'places_hi': 'Places, Hindi',
}
GALLERIES = {  # clips or images ranked in the thesis; 0: not printed
  'youcook2': 3_350,
  'crosstask': 2_819,
  'msrvtt': 1_000,  # of which 968 have sound
  'lsmdc': 1_000,
  'youcook_japanese': 0,
  'speech241': 241,
  'sounds241': 241,
  'places_en': 1_000,
  'places_ja': 1_000,
  'places_hi': 1_000,
}
EXAMPLES = {  # videos, clips or images trained on in the thesis
  'howto100m': 1_166_089,
  'youcook2': 9_586,
  'crosstask': 17_840,
  'msrvtt': 6_783,
  'lsmdc': 101_079,
  'youcook_japanese': 10_000,  # approximate, as the next three
  'places_en': 400_000,
  'places_ja': 100_000,
  'places_hi': 100_000,
}


def examples(recipe: str) -> int:
  """Number of examples of the last training of a recipe."""
  if recipe.startswith('places/'):
    return EXAMPLES[f'places_{recipe.split("/")[1]}']
  *_, last = recipe.split('/')
  if last.endswith('%'):
    return EXAMPLES['howto100m'] * int(last.removesuffix('%')) // 100
  return EXAMPLES.get(last, EXAMPLES['howto100m'])


def visual_widths(recipe: str) -> tuple[int, ...]:
  """Widths of the visual features that the models of a recipe may take."""
  if recipe.startswith('boggust'):
    return 2048, 4096  # The thesis does not say which features a frame has.
  is_2d = 'places' in recipe or recipe.startswith('ablation/2d')
  return (2048,) if is_2d else (4096,)


class Row(typing.NamedTuple):
  """A line of a table: one model, one evaluation.

  Attributes:
    label: the thesis' name of the model and its training.
    recipe: of the run that fills the row; '': another work's numbers.
    evaluation: a key of `NAMES`.
    targets: for each task the printed numbers, recalls in percent and ranks
      starting at 1; empty where the thesis has only a plot.
    share: of HowTo100M that the model is trained on, percent; 0: not varied.
    regime: 'zero-shot' or 'fine-tuned' where the share varies.
  """

  label: str
  recipe: str
  evaluation: str
  targets: tuple[tuple[float, ...], ...]
  share: int = 0
  regime: str = ''


class Table(typing.NamedTuple):
  """A table of the thesis.

  Attributes:
    title: number of the table and its topic.
    tasks: the directions, in the order of the rows' targets.
    metrics: names of the numbers of each target.
    rows: its lines.
    note: remark shown above the table.
  """

  title: str
  tasks: tuple[Task, ...]
  metrics: tuple[str, ...]
  rows: tuple[Row, ...]
  note: str = ''


def _row(line: str) -> Row:
  """Parses 'label | recipe | evaluation | a/b/c ; d/e/f': two directions."""
  label, recipe, evaluation, numbers = (
    part.strip() for part in line.split('|')
  )
  targets = tuple(
    tuple(float(number) for number in direction.split('/'))
    for direction in numbers.split(';')
  )
  return Row(label, recipe, evaluation, targets)


def _rows(text: str) -> tuple[Row, ...]:
  return tuple(_row(line) for line in text.strip().splitlines())


def _ablations() -> tuple[Row, ...]:
  """Table 3.3: zero-shot and fine-tuned, on YouCook2 and CrossTask."""
  printed = {
    'linear': ('Projection: linear', '44.2/53.0/28.4/35.7'),
    'nonlinear': ('Projection: non-linear', '47.8/57.6/30.6/38.4'),
    'gating': ('Projection: gating', '54.3/63.0/33.0/43.6'),
    'mil_nce': ('Loss: MIL-NCE', '24.8/29.6/15.2/22.1'),
    'max_margin': ('Loss: max-margin', '27.4/39.1/18.7/30.1'),
    'bce': ('Loss: binary cross entropy', '46.2/54.6/28.4/41.3'),
    'infonce': ('Loss: InfoNCE', '51.6/60.5/31.9/41.9'),
    'mms': ('Loss: MMS', '54.3/63.0/33.0/43.6'),
    '2d': ('Features: 2-D only', '51.6/57.9/32.6/37.9'),
    'asr': ('Clips: around ASR captions', '57.6/62.8/34.6/44.5'),
    '2.5s': ('Clip length: 2.5 s', '23.1/46.1/20.6/36.4'),
    '5s': ('Clip length: 5 s', '41.2/55.2/30.2/41.4'),
    '10s': ('Clip length: 10 s', '54.3/63.0/33.0/43.6'),
    '20s': ('Clip length: 20 s', '40.9/52.6/24.5/35.3'),
  }
  # These three are one model.
  same = {'gating': 'base', 'mms': 'base', '10s': 'base'}
  rows = []
  for key, (label, numbers) in printed.items():
    values = iter(map(float, numbers.split('/')))
    recipe = f'ablation/{same.get(key, key)}'
    for name in ('youcook2', 'crosstask'):
      rows += [
        Row(f'{label}, zero-shot', recipe, name, ((next(values),),)),
        Row(
          f'{label}, fine-tuned', f'{recipe}/{name}', name, ((next(values),),)
        ),
      ]
  return tuple(rows)


SHARES = (2, 4, 6, 8, 10, 20, 40, 60, 80, 100)  # of HowTo100M, percent


def _share(share: int, evaluation: str, fine_tuned: bool) -> Row:
  """A point of Figure 5-3. The thesis prints only those at 100 %."""
  regime = 'fine-tuned' if fine_tuned else 'zero-shot'
  label = f'{share} %, {regime}'
  if share < 100:
    recipe = f'avlnet/{share}%' + (f'/{evaluation}' if fine_tuned else '')
    return Row(label, recipe, evaluation, (), share, regime)
  printed = {
    ('youcook2', False): 61.5,
    ('youcook2', True): 67.4,
    ('youcook_japanese', False): 18.2,
    ('youcook_japanese', True): 29.3,
  }
  recipe = f'finetune/{evaluation}' if fine_tuned else 'avlnet'
  targets = ((printed[evaluation, fine_tuned],),)
  return Row(label, recipe, evaluation, targets, share, regime)


FIGURE_5_3 = Table(
  'Figure 5-3: fewer videos of HowTo100M',
  A_V[:1],
  R10,
  tuple(
    _share(share, evaluation, fine_tuned)
    for evaluation in ('youcook2', 'youcook_japanese')
    for fine_tuned in (False, True)
    for share in SHARES
  ),
  'The thesis draws the curves and does not print their numbers, except those'
  ' of all videos, which are in Tables 3.2 and 5.1.',
)
TABLES = (
  Table(
    'Table 3.1: Places Audio, English',
    A_V,
    RECALLS,
    _rows("""
Random | | places_en | .1/.5/1.0 ; .1/.5/1.0
Harwath, IJCV 2020 | | places_en | 27.6/58.4/71.6 ; 21.8/55.1/69.0
AVLnet | places/en | places_en | 44.8/79.9/86.4 ; 42.8/76.2/84.8
"""),
    'The thesis prints 75.3 as the mean R@10 of Harwath, IJCV; the mean of 71.6'
    ' and 69.0 is 70.3.',
  ),
  Table(
    'Table 3.2: audio and video',
    A_V,
    RECALLS,
    _rows("""
Random | | youcook2 | .03/.15/.3 ; .03/.15/.3
Target only, Boggust | boggust/scratch/youcook2 | youcook2 | .5/2.1/3.4 ; .6/2.2/3.7
Target only, Arandjelović | arandjelovic/scratch/youcook2 | youcook2 | .3/1.9/3.3 ; .5/2.0/3.7
Target only, AVLnet | scratch/youcook2 | youcook2 | .7/2.3/3.9 ; .8/3.0/4.9
Zero-shot, Boggust | boggust | youcook2 | 6.8/22.4/31.8 ; 7.9/23.8/32.3
Zero-shot, Arandjelović | arandjelovic | youcook2 | 13.6/31.7/41.8 ; 12.9/33.0/42.4
Zero-shot, AVLnet | avlnet | youcook2 | 27.4/51.6/61.5 ; 27.3/51.2/60.8
Fine-tuned, Boggust | boggust/youcook2 | youcook2 | 8.5/26.9/38.5 ; 9.9/30.0/41.1
Fine-tuned, Arandjelović | arandjelovic/youcook2 | youcook2 | 17.4/39.7/51.5 ; 19.0/43.4/53.9
Fine-tuned, AVLnet | finetune/youcook2 | youcook2 | 30.7/57.7/67.4 ; 33.0/58.9/68.4
Random | | crosstask | .04/.18/.35 ; .04/.18/.35
Target only, Boggust | boggust/scratch/crosstask | crosstask | .4/1.9/3.7 ; .6/2.8/5.7
Target only, Arandjelović | arandjelovic/scratch/crosstask | crosstask | .4/2.5/4.1 ; .7/4.5/9.8
Target only, AVLnet | scratch/crosstask | crosstask | .7/2.4/4.6 ; .5/5.2/11.0
Zero-shot, Boggust | boggust | crosstask | 5.5/18.7/28.3 ; 5.2/18.2/27.6
Zero-shot, Arandjelović | arandjelovic | crosstask | 7.3/19.5/27.2 ; 7.5/19.4/27.2
Zero-shot, AVLnet | avlnet | crosstask | 11.9/29.4/37.9 ; 10.8/27.3/35.7
Fine-tuned, Boggust | boggust/crosstask | crosstask | 6.6/20.8/31.2 ; 6.0/21.5/31.4
Fine-tuned, Arandjelović | arandjelovic/crosstask | crosstask | 9.5/25.8/36.6 ; 11.1/28.9/40.7
Fine-tuned, AVLnet | finetune/crosstask | crosstask | 13.8/34.5/44.8 ; 15.5/37.0/52.9
Random | | msrvtt | .1/.5/1.0 ; .1/.5/1.0
Target only, Boggust | boggust/scratch/msrvtt | msrvtt | 1.0/3.8/7.1 ; 1.8/4.5/8.1
Target only, Arandjelović | arandjelovic/scratch/msrvtt | msrvtt | 1.3/4.3/8.2 ; .3/2.5/6.6
Target only, AVLnet | scratch/msrvtt | msrvtt | .9/5.0/9.0 ; .8/4.6/8.1
Zero-shot, Boggust | boggust | msrvtt | 7.6/21.1/28.3 ; 9.3/20.7/28.8
Zero-shot, Arandjelović | arandjelovic | msrvtt | 12.6/26.3/33.7 ; 11.9/25.9/34.7
Zero-shot, AVLnet | avlnet | msrvtt | 17.8/35.5/43.6 ; 17.2/26.6/46.6
Fine-tuned, Boggust | boggust/msrvtt | msrvtt | 10.3/27.6/35.9 ; 11.8/29.0/38.6
Fine-tuned, Arandjelović | arandjelovic/msrvtt | msrvtt | 16.2/32.2/42.9 ; 15.4/34.9/45.0
Fine-tuned, AVLnet | finetune/msrvtt | msrvtt | 20.1/40.0/49.6 ; 22.0/41.4/50.3
"""),
    'R@5 of 26.6 (AVLnet, zero-shot, MSR-VTT, video to audio) is as printed,'
    ' between R@1 of 17.2 and R@10 of 46.6; it likely was 36.6.',
  ),
  Table(
    'Table 3.3: ablations, 15 epochs of 64 videos',
    A_V[:1],
    R10,
    _ablations(),
  ),
  Table(
    'Table 3.4: speech and sounds of YouCook2',
    A_V,
    R10,
    _rows("""
Zero-shot | avlnet | speech241 | 88.0 ; 88.0
Fine-tuned | finetune/youcook2 | speech241 | 92.5 ; 91.7
Zero-shot | avlnet | sounds241 | 32.4 ; 33.6
Fine-tuned | finetune/youcook2 | sounds241 | 44.0 ; 46.8
"""),
  ),
  Table(
    'Table 4.1: text, audio and video apart (AVLnet-Text-Tri)',
    T_AV,
    RANKED,
    _rows("""
Zero-shot | tri | youcook2 | 19.9/36.1/44.3/16 ; 28.5/53.7/65.3/6
Fine-tuned | tri/youcook2 | youcook2 | 30.2/55.5/66.5/4 ; 35.4/63.3/74.2/4
JSFusion | | msrvtt | 10.2/31.2/43.2/13
CE | | msrvtt | 20.9/48.8/62.4/6 ; 20.6/50.3/64.0/5.3
Zero-shot | tri | msrvtt | 8.3/19.2/27.4/47.5 ; 8.7/19.6/25.1/45
Fine-tuned | tri/msrvtt | msrvtt | 22.5/50.5/64.1/5 ; 22.5/50.8/63.9/5
JSFusion | | lsmdc | 9.1/21.2/34.1/36
CE | | lsmdc | 11.2/26.9/34.8/25.3
Zero-shot | tri | lsmdc | 1.4/5.9/9.4/273.5 ; 1.6/4.4/7.5/245.5
Fine-tuned | tri/lsmdc | lsmdc | 11.4/26.0/34.6/30 ; 12.1/25.5/32.9/34
"""),
  ),
  Table(
    'Table 4.1: text and audio fused (AVLnet-Text-Fused)',
    AT_V,
    RANKED,
    _rows("""
Zero-shot | fused | youcook2 | 25.6/52.7/64.4/5 ; 29.3/55.3/65.5/4
Fine-tuned | fused/youcook2 | youcook2 | 33.2/61.0/71.5/3 ; 34.0/62.4/72.5/3
Zero-shot | fused | msrvtt | 19.6/40.8/50.7/9 ; 19.7/43.0/54.9/8
Fine-tuned | fused/msrvtt | msrvtt | 27.1/55.6/66.6/4 ; 28.5/54.6/65.2/4
Zero-shot | fused | lsmdc | 4.4/10.6/15.3/105.5 ; 3.8/11.3/15.9/109
Fine-tuned | fused/lsmdc | lsmdc | 17.0/38.0/48.6/11 ; 16.5/37.6/47.6/13
"""),
  ),
  Table(
    'Table 4.1: text and video alone, by others, and chance',
    _directions('text', 'video'),
    RANKED,
    _rows("""
Random | | youcook2 | .03/.15/.3/1675 ; .03/.15/.3/1675
Miech 2019, zero-shot | | youcook2 | 6.1/17.3/24.8/46 ; 5.3/16.5/25.2/42
Miech 2020, zero-shot | | youcook2 | 15.1/38.0/51.2/10
Miech 2019, fine-tuned | | youcook2 | 8.2/24.5/35.3/24 ; 7.2/22.8/34.3/24
Random | | msrvtt | .1/.5/1.0/500 ; .1/.5/1.0/500
Miech 2019, zero-shot | | msrvtt | 7.5/21.2/29.6/38 ; 8.4/21.3/28.9/42
Amrani, zero-shot | | msrvtt | 8.0/21.3/29.3/33
Miech 2020, zero-shot | | msrvtt | 9.9/24.0/32.4/29.5
Miech 2019, fine-tuned | | msrvtt | 14.9/40.2/52.8/9 ; 16.8/41.7/55.1/8
Amrani, fine-tuned | | msrvtt | 17.4/41.6/53.6/8
Random | | lsmdc | .1/.5/1.0/500 ; .1/.5/1.0/500
Miech 2019, zero-shot | | lsmdc | 4.0/9.8/14.0/137 ; 2.4/8.1/11.8/154
Amrani, zero-shot | | lsmdc | 4.2/11.6/17.1/119
Miech 2019, fine-tuned | | lsmdc | 7.1/19.6/27.9/40 ; 6.6/17.8/25.9/50
Amrani, fine-tuned | | lsmdc | 6.4/19.8/28.4/39
"""),
  ),
  Table(
    'Table 4.2: learning text late',
    AT_V[:1],
    R10,
    _rows("""
Audio-video pre-training, zero-shot | late | youcook2 | 49.3
Audio-video pre-training, fine-tuned | late/youcook2 | youcook2 | 66.3
Audio-video pre-training, zero-shot | late | msrvtt | 37.0
Audio-video pre-training, fine-tuned | late/msrvtt | msrvtt | 59.7
Audio-video pre-training, zero-shot | late | lsmdc | 10.4
Audio-video pre-training, fine-tuned | late/lsmdc | lsmdc | 44.4
With text, zero-shot | fused | youcook2 | 64.4
With text, fine-tuned | fused/youcook2 | youcook2 | 71.5
With text, zero-shot | fused | msrvtt | 50.7
With text, fine-tuned | fused/msrvtt | msrvtt | 66.6
With text, zero-shot | fused | lsmdc | 15.3
With text, fine-tuned | fused/lsmdc | lsmdc | 48.6
"""),
  ),
  Table(
    'Table 5.1: YouCook2 and YouCook-Japanese',
    A_V,
    RECALLS,
    _rows("""
Random | | youcook2 | .03/.15/.3 ; .03/.15/.3
YouCook2 only | scratch/youcook2 | youcook2 | .7/2.3/3.9 ; .8/3.0/4.9
HowTo100M | avlnet | youcook2 | 27.4/51.6/61.5 ; 27.3/51.2/60.8
HowTo100M, YouCook2 | finetune/youcook2 | youcook2 | 30.7/57.7/67.4 ; 33.0/58.9/68.4
HowTo100M, YouCook-Japanese | finetune/youcook_japanese | youcook2 | 19.4/40.4/51.3 ; 19.8/43.5/53.7
Random | | youcook_japanese | .03/.17/.33 ; .03/.17/.33
YouCook-Japanese only | scratch/youcook_japanese | youcook_japanese | .7/2.4/3.8 ; .5/1.8/3.0
HowTo100M | avlnet | youcook_japanese | 4.6/12.1/18.2 ; 5.6/14.6/21.3
HowTo100M, YouCook2 | finetune/youcook2 | youcook_japanese | 5.1/13.2/18.9 ; 5.6/14.5/20.7
HowTo100M, YouCook-Japanese | finetune/youcook_japanese | youcook_japanese | 7.0/20.4/29.3 ; 7.6/20.9/29.7
"""),
  ),
  Table(
    'Table 5.2: Places Audio, Japanese and Hindi',
    A_V,
    RECALLS,
    _rows("""
Random | | places_ja | .1/.5/1.0 ; .1/.5/1.0
Havard | | places_ja | 18.2/48.5/62.2 ; 15.3/41.4/57.6
Ohishi [56] | | places_ja | 20.1/49.7/63.9 ; 16.7/44.3/57.8
Ohishi [57] | | places_ja | 20.3/52.0/66.7 ; 20.0/46.8/62.3
Without HowTo100M | scratch/places_ja | places_ja | 20.7/48.8/63.6 ; 16.8/44.9/58.8
AVLnet | places/ja/frozen | places_ja | 23.5/57.3/70.4 ; 24.3/56.6/70.0
Random | | places_hi | .1/.5/1.0 ; .1/.5/1.0
Harwath | | places_hi | 8.0/25.0/35.6 ; 7.4/23.5/35.4
Havard | | places_hi | 9.6/28.2/40.7 ; 8.0/27.6/37.1
Ohishi [56] | | places_hi | 9.4/29.8/41.8 ; 9.3/29.5/38.2
Ohishi [57] | | places_hi | 11.2/31.5/44.5 ; 10.8/31.3/41.9
Without HowTo100M | scratch/places_hi | places_hi | 9.2/26.0/35.7 ; 8.7/23.6/33.5
AVLnet | places/hi/frozen | places_hi | 15.2/38.9/51.1 ; 17.0/39.8/51.5
"""),
  ),
  Table(
    'Table 5.3: image encoder frozen or trained',
    A_V,
    RECALLS,
    _rows("""
Frozen | places/en/frozen | places_en | 37.3/71.6/82.3 ; 36.5/71.3/82.8
Trained | places/en | places_en | 44.8/79.9/86.4 ; 42.8/76.2/84.8
Frozen | places/ja/frozen | places_ja | 23.5/57.3/70.4 ; 24.3/56.6/70.0
Trained | places/ja | places_ja | 20.8/50.9/64.9 ; 20.9/49.5/63.5
Frozen | places/hi/frozen | places_hi | 15.2/38.9/51.1 ; 17.0/39.8/51.5
Trained | places/hi | places_hi | 12.1/30.9/44.1 ; 11.9/30.8/41.7
"""),
  ),
  FIGURE_5_3,
)
