"""AVLnet on HowTo100M: the thesis' full recipe (section 3.3).

  python main.py --config=configs/avlnet.py --config.recipe=avlnet

Data: 1,166,089 of the 1,238,792 videos of HowTo100M, as features in the
authors' layout or as videos with --config.prepare.resnet152 and resnext101
(see input_pipeline/datasets/videos/builder.py), in a folder named by
--config.prepare.media_dir. The videos belong to their owners and do not come
with this program; configs/stamps.py runs without them.
Expect, zero-shot on YouCook2 (3,350 clips), R@10 61.5 (audio to video) and
60.8 (video to audio), as the thesis' Table 3.2 prints; the authors' two V100
took about two days. This program has not been run on HowTo100M.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """The default of every key; other configs change a few."""
  config = ml_collections.ConfigDict()
  config.seed = 1  # of parameters, order, windows and augmentation
  # Whose cells of the thesis' tables (avl_jax/reports/thesis_tables.py) an
  # evaluation fills, 'avlnet' for this run; '': none.
  config.recipe = ''
  config.num_steps = 273_300  # 30 epochs of 1,166,089 // 128 = 9,110 steps
  config.data_dir = ''  # of the records; '': ~/tensorflow_datasets
  # File of PyTorch with a ResNet for model.image_blocks; '': none.
  config.image_weights = ''
  # Workdir of a run whose best variables are the initial ones; '': random.
  config.initial_workdir = ''
  # Keep and evaluate the checkpoint with the largest value of this metric of
  # an evaluation; '': the last.
  config.best_metric = ''
  # Folder of the persistent compilation cache; '': none.
  config.compilation_cache = '~/.cache/avl_jax/compilation'

  config.release = ml_collections.ConfigDict(
    {
      'file': '',  # checkpoint of the authors, of --mode=import and export
    }
  )
  config.prepare = ml_collections.ConfigDict(
    {
      'datasets': ('videos/howto100m',),  # to make before training, if missing
      'media_dir': '',  # where the media lie; '': fetch them
      # Weights of the networks for features of raw videos: torchvision's file
      # or 'efficientnet_lite0', the packaged stand-in; '': features are given.
      'resnet152': '',
      'resnext101': '',  # the release's file; '': no 3-D features
      'speech_words': 1,  # of a clip with speech, where splits are made so
    }
  )
  config.words = ml_collections.ConfigDict(
    {
      # File of word2vec's format, or 'sentence_encoder', the packaged stand-in;
      # '': the batches have no words.
      'vectors': '',
      'max_words': 20,  # of a caption, as in the release
    }
  )
  config.train_data = ml_collections.ConfigDict(
    {
      'datasets': ('videos/howto100m',),
      'split': 'train',
      'batch_size': 128,  # videos
      'clips_per_example': 32,  # N = 128 x 32 = 4,096; 0: whole recordings
      'num_frames': 1000,  # T: 10 s
      # 0: windows anywhere; else around captions, at least so many seconds.
      'min_time': 0.0,
      'word_order': 'time',  # of joined captions; 'release': as they join
      # Those of them that there are; ('image',): pictures for image_blocks.
      'streams': ('visual_2d', 'visual_3d'),
      'augmentation': {},  # keyword arguments of augment.Augmentation
      'distinct_groups': False,  # no caption twice in a batch
      # Training stops when more records than these cannot be used; until then
      # others take their place, and workdir/bad_records.json lists them.
      'max_bad_records': 100,
    }
  )
  config.model = ml_collections.ConfigDict(
    {
      'embed_dim': 4096,
      'widths': (128, 128, 256, 512, 1024),  # stem, then four stages
      'blocks': (2, 2, 2, 2),  # residual blocks of each stage
      'word_dim': 0,  # width of the word vectors; 0: no text branch
      'fused': False,  # audio and text before a common gate; or apart
      'initial_text_scale': 1.0,  # of the fused text term; 0: as if no text
      'structure': 'thesis',  # 'release': gate before the projection
      'pooling': 'mean',  # in training, padding included; or 'masked'
      'frozen_statistics': False,  # of BatchNorm; the release fine-tunes so
      # Of a ResNet that takes the pictures of batches: (3, 8, 36, 3) is
      # ResNet-152; (): the batches have features.
      'image_blocks': (),
      'frozen_image': True,  # that network stays as it is
      'axis_name': 'devices',  # synchronised BatchNorm; '': per device
      'dtype': 'bfloat16',  # of computation; the authors used Apex O1
    }
  )
  config.loss = ml_collections.ConfigDict(
    {
      'pairs': (('audio', 'video'),),  # what is drawn together
      'margin': 0.001,  # eq. 3.4
    }
  )
  config.optimizer = ml_collections.ConfigDict(
    {
      'learning_rate': 1e-3,
      'schedule': 'exponential',  # or 'cosine', to zero at num_steps
      'decay_rate': 0.9,  # per decay_steps; the thesis does not mention it
      'decay_steps': 9_110,  # an epoch
      'warmup_steps': 0,
    }
  )
  config.train = ml_collections.ConfigDict(
    {
      'log_every': 50,
      'eval_every': 9_110,  # evaluate and save
      # Save, in the background; a kill loses the steps since the last that
      # was on the disk: so many, and those of a write that was not done.
      'save_every': 1_000,
      'max_skipped': 10,  # steps in a row whose numbers are not finite
      # Seconds after which a step is taken to hang, its compilation included;
      # 0: never.
      'step_timeout': 1_800,
    }
  )
  config.eval_data = ml_collections.ConfigDict(
    {
      # name -> {'datasets', 'splits', 'num_queries'}: all splits are one
      # gallery; num_queries (or 0) counts those whose media are missing; with
      # 'groups_of' only what other 'datasets' and 'splits' have too; with
      # 'augmentation' of changed recordings; 'num_frames' of its own.
      'evaluations': {},
      'batch_size': 256,
      'num_frames': 5120,  # longer recordings are cropped
      'streams': ('visual_2d', 'visual_3d'),
    }
  )
  config.eval = ml_collections.ConfigDict(
    {
      'tasks': (('audio', 'video'), ('video', 'audio')),  # (query, gallery)
      'ties': 'against',  # 'release': every tied position counts
      'missing': 'skip',  # queries without media, in the ranks; or 'last'
    }
  )
  config.comparison = ml_collections.ConfigDict(
    {
      'runs': (),  # (name, the keys in which it differs from this config)
      'seeds': (1, 2, 3),
      'evaluations': {},  # of all runs, as eval_data.evaluations
      'side_by_side': (),  # two runs whose answers are shown, before and after
      'curve': (),  # (name of a run, line it is on, amount of its data)
      'amount': '',  # what the curve's amounts count
    }
  )
  return config
