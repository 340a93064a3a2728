"""AVLnet on HowTo100M: the thesis' full recipe (section 3.3).

  python main.py --config=configs/avlnet.py --config.recipe=avlnet

Data: 1,166,089 of the 1,238,792 videos of HowTo100M in the folder
--config.prepare.media_dir: features in the authors' layout, or videos with
--config.prepare.resnet152 and resnext101 (see
input_pipeline/datasets/videos/builder.py). The videos belong to their owners
and are not part of this program; configs/stamps.py runs without them.

Expect R@10 of 61.5 (audio to video) and 60.8 (video to audio), zero-shot on
YouCook2 (3,350 clips), as in the thesis' Table 3.2. Training took the authors
about two days on two V100. This program has not been run on HowTo100M.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the default of every key; other configs change a few."""
  config = ml_collections.ConfigDict()
  config.seed = 1  # of parameters, order, windows and augmentation
  # Which cells of the thesis' tables (avl_jax/reports/thesis_tables.py) the
  # evaluation fills; 'avlnet' for this config, '': none.
  config.recipe = ''
  config.num_steps = 273_300  # 30 epochs of 1,166,089 // 128 = 9,110 steps
  # Folder of the records; '': $TFDS_DATA_DIR or ~/tensorflow_datasets.
  config.data_dir = ''
  # Weights of a ResNet (.pth or .safetensors), the initial image encoder
  # (model.image_blocks); '': none.
  config.image_weights = ''
  # Workdir of a run whose best checkpoint has the initial variables; '': the
  # initial variables are random.
  config.initial_workdir = ''
  # Evaluation metric that selects the checkpoint to keep and to evaluate, the
  # one with the largest value (R@10) or the least (median_rank); '': the last
  # checkpoint.
  config.best_metric = ''
  # Type of computation in evaluations; '': that of the model (model.dtype).
  config.eval_dtype = 'float32'
  # Folder of the persistent compilation cache; '': none.
  config.compilation_cache = '~/.cache/avl_jax/compilation'

  config.release = ml_collections.ConfigDict(
    {
      # The authors' checkpoint, of --mode=import and export: PyTorch's format,
      # or safetensors; an export writes the latter to FILE.safetensors.
      'file': '',
    }
  )
  config.prepare = ml_collections.ConfigDict(
    {
      'datasets': ('videos/howto100m',),  # prepared before training if missing
      'media_dir': '',  # folder of the media; '': download them
      # Weights of the 2-D network for raw videos: torchvision's file, or
      # 'efficientnet_lite0', the packaged stand-in; '': the media are features.
      'resnet152': '',
      # Weights of the 3-D network: the release's file; '': no 3-D features.
      'resnext101': '',
      # Clips with at least so many words count as speech, where splits are made
      # by the number of words (speech241 and sounds241 of YouCook2).
      'speech_words': 1,
      # Options of generated videos: the arguments of
      # input_pipeline.datasets.narrated_videos.settings.Settings.
      'narrated': {},
      # 'speech': the clips of own videos are stretches of speech, found in
      # whole videos; '': the list of videos says what the clips are.
      'segments': '',
      # Arguments of input_pipeline.datasets.own_videos.speech_clips.Choice.
      'speech': {
        'seed': 1,  # of the random choice
        'clips': (10_000, 3_000, 3_000),  # of train, val and test, at most
        'lengths': (5.0, 50.0),  # seconds of a clip, least and greatest
        'pause': 1.0,  # seconds without speech within a clip, at most
      },
      # Videos that are decoded at once; 0: one fewer than the cores.
      'workers': 0,
      # Options of Apache Beam ('--runner=FlinkRunner ...'), whose workers
      # prepare own videos; '': this process prepares them.
      'beam': '',
      # Arguments of decoding.limits.Limits: what a video may cost.
      'decoding': {
        'memory': 6 * 2**30,  # bytes beside those of the idle child
        'wall_seconds': 60.0,  # of waiting, however short the video
        'wall_seconds_per_minute': 600.0,  # and for each minute of video
        'processor_seconds': 60.0,  # of all threads of the child
        'processor_seconds_per_minute': 600.0,  # and for each minute of video
        'stall_seconds': 60.0,  # without a sign of life
        'longest_seconds': 12 * 3600.0,  # that a video may last
        'most_streams': 100,  # of sound, pictures and others
        'files': 1000,  # that a child decodes before it is replaced
      },
    }
  )
  config.words = ml_collections.ConfigDict(
    {
      # File in word2vec's format, or 'sentence_encoder', the packaged stand-in;
      # '': batches have no words.
      'vectors': '',
      'max_words': 20,  # W, words of a caption, as in the release
    }
  )
  config.train_data = ml_collections.ConfigDict(
    {
      'datasets': ('videos/howto100m',),
      'split': 'train',
      'batch_size': 128,  # videos
      'clips_per_example': 32,  # N = 128 x 32 = 4,096; 0: whole recordings
      # For loss.name='mil_nce': how many clips, one after the other, are the
      # candidates of the first of them: itself and the nearest ones of its
      # video that do not overlap. It divides clips_per_example; 1: itself. The
      # thesis does not state the number; MIL-NCE has 4 or 5.
      'candidates': 1,
      'num_frames': 1000,  # T: 10 s
      # Seconds of windows around captions, at least; 0: windows anywhere.
      'min_time': 0.0,
      # Order of the captions of a window: by time, or 'release', the order in
      # which the released code joins them.
      'word_order': 'time',
      # Visual features to use, if the records have them; ('image',): images,
      # for model.image_blocks.
      'streams': ('visual_2d', 'visual_3d'),
      # 'max' of the features in a clip, or 'centre', the one in its middle.
      'visual_pooling': 'max',
      'permuted_sound': False,  # of a batch: a control that learns nothing
      'augmentation': {},  # arguments of audio_augmentation.Augmentation
      # Those of spectrogram_augmentation.SpectrogramAugmentation, for clips of
      # records without waveforms.
      'spectrogram_augmentation': {},
      'distinct_groups': False,  # no caption twice in a batch
      # Training stops if more records than this cannot be used. Bad records
      # are replaced by others and listed in WORKDIR/bad_records.json.
      'max_bad_records': 100,
      # Worker processes that make the batches, for each process of the run, on
      # Linux; 0: threads make them. The batches are the same. See
      # avl_jax/train/README.md for when to use them.
      'processes': 0,
    }
  )
  config.model = ml_collections.ConfigDict(
    {
      'embed_dim': 4096,
      'widths': (128, 128, 256, 512, 1024),  # stem, then four stages
      'blocks': (2, 2, 2, 2),  # residual blocks of each stage
      'word_dim': 0,  # E, width of the word vectors; 0: no text branch
      'fused': False,  # audio and text share a gate; False: a head for each
      # Scale of the fused text term; 0: as if there were no text.
      'initial_text_scale': 1.0,
      # Of each modality: 'gated' (eq. 3.1, 3.2), 'linear' or 'nonlinear'.
      'head': 'gated',
      'normalize': False,  # embeddings of length 1: scores are cosines
      'structure': 'thesis',  # 'release': gate before the projection
      'pooling': 'mean',  # in training, padding included; or 'masked'
      # Freeze BatchNorm's statistics, as the release does in fine-tuning.
      'frozen_statistics': False,
      # Blocks of a ResNet that encodes the images of batches: (3, 8, 36, 3) is
      # ResNet-152; (): batches have visual features.
      'image_blocks': (),
      'frozen_image': True,  # the image encoder is not trained
      'axis_name': 'devices',  # BatchNorm over all devices; '': per device
      'dtype': 'bfloat16',  # of computation; the authors used Apex O1
    }
  )
  config.loss = ml_collections.ConfigDict(
    {
      # Pairs of embeddings to align; their losses are summed.
      'pairs': (('audio', 'video'),),
      # 'mms' (Masked Margin Softmax), 'infonce', 'max_margin', 'bce' (binary
      # cross entropy), 'mil_nce', 'sigmoid' (SigLIP), 'sampled_margin'
      # (DAVEnet) or 'two_way' (AVE-Net); see avl_jax/losses.
      'name': 'mms',
      'margin': 0.001,  # of mms, eq. 3.4
      # Options of the loss of this name; the others are not used. The thesis
      # (section 3.3.4) names the losses of its ablations, and no option.
      'infonce': {
        'symmetric': True,  # both directions; False: x chooses among y only
      },
      'max_margin': {
        'margin': 0.1,  # the default of HowTo100M's program
        'diagonal': True,  # count the pairs themselves, as HowTo100M's code
        # Share of the weight of the pairs of one video, 0.5 in HowTo100M's
        # code; 0.0: all pairs weigh the same.
        'intra_video': 0.0,
      },
      'bce': {
        'balanced': False,  # True: half of the weight for what belongs together
      },
      # Start values of what the loss learns, those of SigLIP, which has
      # model.normalize=True.
      'sigmoid': {'initial_scale': 10.0, 'initial_bias': -10.0},
      'sampled_margin': {
        'margin': 1.0,  # the default of DAVEnet's program
        # 'sampled': one is drawn in each direction, as in DAVEnet; 'semi_hard':
        # the best one below the pair itself; 'both', as in ResDAVEnet.
        'impostors': 'sampled',
        # True: of other videos only. DAVEnet draws from the whole batch, which
        # in HowTo100M has several clips of a video.
        'other_videos': False,
      },
      'two_way': {
        # Start values of what is learnt. The paper does not state them; at
        # these, embeddings at a right angle are as likely a pair as not.
        'initial_scale': 1.0,
        'initial_bias': 1.4,
        'other_videos': True,  # negatives are of other videos, as in the paper
      },
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
      # Save in the background. A killed run loses the steps since the last
      # complete checkpoint: these, and the steps of an unfinished write.
      'save_every': 1_000,
      # Training stops after this many consecutive steps with non-finite
      # values.
      'max_skipped': 10,
      # Seconds after which a step counts as hanging, compilation included;
      # 0: never.
      'step_timeout': 1_800,
      # Branches that keep the variables of the initial workdir: some of
      # 'audio', 'video', 'text'. With ('video',) a run in another language
      # shares the search index of its initial workdir.
      'frozen': (),
      # Pieces of a device's share of the batch that are embedded one after the
      # other, twice, if the whole does not fit into memory; 1: the whole. In
      # training, BatchNorm then uses the statistics of a piece.
      'pieces': 1,
      # Rows of the matrix of scores that a device computes at once, twice, if
      # the matrix does not fit into memory; 0: all.
      'score_rows': 0,
    }
  )
  config.eval_data = ml_collections.ConfigDict(
    {
      # name -> arguments of input_pipeline.batches.eval.open_evaluation:
      # 'datasets' and 'splits', which are one gallery; 'num_queries' of the
      # data set's definition, queries without media included, or 0;
      # optionally 'groups_of' (other 'datasets' and 'splits': only groups that
      # these have too), 'augmentation' (of the recordings), 'num_frames'.
      'evaluations': {},
      'batch_size': 256,
      'num_frames': 5120,  # longer recordings are cropped
      'streams': ('visual_2d', 'visual_3d'),
      'visual_pooling': 'max',
    }
  )
  config.eval = ml_collections.ConfigDict(
    {
      'tasks': (('audio', 'video'), ('video', 'audio')),  # (query, gallery)
      # The correct match ranks behind items of the same score; 'release': the
      # query gets a rank for each of them.
      'ties': 'against',
      # Median and mean rank ignore queries without media; 'last': these rank
      # last.
      'missing': 'skip',
    }
  )
  config.comparison = ml_collections.ConfigDict(
    {
      'runs': (),  # (name, keys whose values differ from this config)
      'seeds': (1, 2, 3),
      'evaluations': {},  # of all runs, like eval_data.evaluations
      'side_by_side': (),  # two runs whose answers the report compares
      'curve': (),  # (name of a run, its curve, amount of its data)
      'amount': '',  # unit of these amounts, the label of the axis
      # Learning rates of which each run takes the best in a short trial with
      # the first seed, the first of them in a tie; (): that of the run.
      'learning_rates': (),
      'trial_steps': 0,  # of a trial, a whole schedule
      # Like `evaluations`: what decides, by the mean R@10 of the tasks. These
      # examples must be neither trained on nor reported.
      'trial_evaluations': {},
      # (study, run, R@10 that the thesis prints, in percent).
      'printed': (),
      # What the thesis claims: (sentence, ((better run, worse run), ...)).
      'claims': (),
    }
  )
  config.search = ml_collections.ConfigDict(
    {
      'media_dir': '',  # folder of videos, pictures and sound files
      'index': '',  # folder of the index
      'window': 10.0,  # seconds of a file that have vectors of their own
      'step': 5.0,  # seconds from window to window
      # Vectors of a window; 'sum' is video + audio.
      'names': ('video', 'audio'),
      'dtype': 'float32',  # of the vectors on disk; 'float16': half the space
      # Replace an index of another model or of other windows. The features of
      # the files are kept, so nothing is decoded.
      'rebuild': False,
      # What is asked (--mode=search): a file of sound, a picture, a video, or
      # of one its seconds, FILE@START-END; '-': sound from standard input.
      'query': '',
      'words': '',  # in place of a query, for a model that reads
      # Of a video, what is asked: 'sound' or 'picture'; '': its pictures, or
      # its sound if it has none.
      'part': '',
      # What answers: 'video' (moments that show it), 'audio' (sound), 'sum';
      # '': 'video', if the index has it.
      'answers': '',
      'count': 10,  # answers
      # Share of background questions that have as good an answer by chance,
      # above which an answer does not fit.
      'threshold': 0.1,
      'json': False,  # for programs
    }
  )
  config.serve = ml_collections.ConfigDict(
    {
      # Arguments of avl_jax.page.options.Options: the page (--mode=serve).
      'host': '127.0.0.1',  # another one needs a token_file
      'port': 8008,  # 0: a free one
      'prefix': '',  # path behind a reverse proxy, such as '/search'
      'hosts': (),  # further names under which clients reach the server
      # File with the token that clients send; made if it is missing.
      'token_file': '',
      'cache_dir': '',  # of pictures and clips; '': a temporary folder
      'cache_bytes': 2 * 2**30,
      'upload_bytes': 64 * 2**20,  # of a question
      'question_seconds': 120.0,  # of a question
      'clip_seconds': 60.0,  # of a clip that is cut
      'askers': 32,  # questions that may wait at once
      'answer_seconds': 60.0,  # that a client waits at most
      'connections': 200,  # that may be open at once
    }
  )
  return config


def use_small_model(config: ml_collections.ConfigDict) -> None:
  """Sets the model of small data sets, which trains on CPUs in minutes."""
  config.model.update(
    embed_dim=512,
    widths=(32, 32, 64, 128, 256),
    pooling='masked',
    dtype='float32',
  )
