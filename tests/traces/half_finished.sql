BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE cost (
	genotype_id VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	params BIGINT NOT NULL, 
	multi_adds BIGINT NOT NULL, 
	conv_multi_adds BIGINT NOT NULL, 
	activations BIGINT NOT NULL, parts JSON, 
	CONSTRAINT pk_cost PRIMARY KEY (genotype_id, scale), 
	CONSTRAINT fk_cost_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
);
INSERT INTO "cost" VALUES('bca165f62596',2,7588,1603378224,1603378224,19655084,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 448, "multi_adds": 99532800, "conv_multi_adds": 99532800, "activations": 3686400}, {"part": "block, residual, esa, 3x3, relu", "copies": 1, "uses": 1, "params": 5400, "multi_adds": 1105714224, "conv_multi_adds": 1105714224, "activations": 13203884}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('6cd6c6f67f1f',2,11468,2621030400,2621030400,21196800,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 448, "multi_adds": 99532800, "conv_multi_adds": 99532800, "activations": 3686400}, {"part": "block, residual, none, 3x3, silu", "copies": 2, "uses": 2, "params": 9280, "multi_adds": 2123366400, "conv_multi_adds": 2123366400, "activations": 14745600}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('12e2a0d8bb15',2,9112,2075443200,2075443200,23961600,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 448, "multi_adds": 99532800, "conv_multi_adds": 99532800, "activations": 3686400}, {"part": "block, rlfb, none, 3x3, gelu", "copies": 2, "uses": 2, "params": 5184, "multi_adds": 1179648000, "conv_multi_adds": 1179648000, "activations": 14745600}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('a057f906750b',2,15636,3577651200,3577651200,24883200,'[{"part": "stem, pyramid", "copies": 1, "uses": 1, "params": 2616, "multi_adds": 591667200, "conv_multi_adds": 591667200, "activations": 11059200}, {"part": "block, residual, none, 3x3, lrelu", "copies": 1, "uses": 1, "params": 10416, "multi_adds": 2388787200, "conv_multi_adds": 2388787200, "activations": 11059200}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}]');
INSERT INTO "cost" VALUES('58b5b61ece3c',2,4684,1065369600,1065369600,17510400,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 352, "multi_adds": 77414400, "conv_multi_adds": 77414400, "activations": 7372800}, {"part": "block, rlfb, none, 3x3, silu", "copies": 1, "uses": 1, "params": 2592, "multi_adds": 589824000, "conv_multi_adds": 589824000, "activations": 7372800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('5eb3cc331656',2,4780,1087488000,1087488000,13824000,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 448, "multi_adds": 99532800, "conv_multi_adds": 99532800, "activations": 3686400}, {"part": "block, rlfb, none, 3x3, silu", "copies": 1, "uses": 1, "params": 2592, "multi_adds": 589824000, "conv_multi_adds": 589824000, "activations": 7372800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('5b6e289446a2',2,4684,1065369600,1065369600,17510400,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 352, "multi_adds": 77414400, "conv_multi_adds": 77414400, "activations": 7372800}, {"part": "block, rlfb, none, 3x3, lrelu", "copies": 1, "uses": 1, "params": 2592, "multi_adds": 589824000, "conv_multi_adds": 589824000, "activations": 7372800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('51119bfc480a',2,4684,1065369600,1065369600,17510400,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 352, "multi_adds": 77414400, "conv_multi_adds": 77414400, "activations": 7372800}, {"part": "block, rlfb, none, 3x3, gelu", "copies": 1, "uses": 1, "params": 2592, "multi_adds": 589824000, "conv_multi_adds": 589824000, "activations": 7372800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
CREATE TABLE evaluation (
	id INTEGER NOT NULL, 
	genotype_id VARCHAR NOT NULL, 
	protocol_id VARCHAR NOT NULL, 
	seed BIGINT NOT NULL, 
	psnr_db DOUBLE NOT NULL, 
	ssim DOUBLE NOT NULL, 
	train_seconds DOUBLE NOT NULL, 
	device VARCHAR NOT NULL, 
	torch_version VARCHAR NOT NULL, 
	code_version VARCHAR NOT NULL, 
	checkpoint VARCHAR, 
	curve JSON NOT NULL, 
	per_image JSON NOT NULL, 
	created_at DATETIME NOT NULL, checkpoint_sha256 VARCHAR, 
	CONSTRAINT pk_evaluation PRIMARY KEY (id), 
	CONSTRAINT uq_evaluation_genotype_id_protocol_id_seed UNIQUE (genotype_id, protocol_id, seed), 
	CONSTRAINT fk_evaluation_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT fk_evaluation_protocol_id FOREIGN KEY(protocol_id) REFERENCES protocol (id)
);
INSERT INTO "evaluation" VALUES(1,'bca165f62596','1000d2a49d91',14,3.81631683102814136523e+01,9.94648531445308070608e-01,2.75461710000399762066e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/bca165f62596-1000d2a49d91/weights.safetensors','[[2, 0.03261282667517662, null]]','{"wave2.png": [38.163168310281414, 0.9946485314453081]}','2026-11-29 17:08:20.622473','8decdb5e418e73d338be5ac242fb99a307618b193bca43acb1b0024b3f845a55');
INSERT INTO "evaluation" VALUES(2,'6cd6c6f67f1f','1000d2a49d91',14,3.81373444843818347749e+01,9.94562359621786629126e-01,1.80156149999675108119e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/6cd6c6f67f1f-1000d2a49d91/weights.safetensors','[[2, 0.032607562839984894, null]]','{"wave2.png": [38.137344484381835, 0.9945623596217866]}','2026-11-29 17:08:20.704544','f08869a832cdbca26508ef51acc1c03f354f8b3ac5aa7a6f96afde14472c3f3e');
INSERT INTO "evaluation" VALUES(3,'12e2a0d8bb15','1000d2a49d91',14,3.77437316519625767332e+01,9.94081547872985304969e-01,1.40822549999484181171e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/12e2a0d8bb15-1000d2a49d91/weights.safetensors','[[2, 0.03326668590307236, null]]','{"wave2.png": [37.74373165196258, 0.9940815478729853]}','2026-11-29 17:08:20.776509','4ba60023e4232fe5237635d73832072166519561f59e0d5de9e170c10761f418');
INSERT INTO "evaluation" VALUES(4,'bca165f62596','a47f9c63110b',14,3.73791118579791898919e+01,9.93340632197754591636e-01,4.81506339999668853124e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/bca165f62596-a47f9c63110b/weights.safetensors','[[2, 0.03261282667517662, null], [4, 0.03097411058843136, null]]','{"wave2.png": [37.37911185797919, 0.9933406321977546]}','2026-11-29 17:08:20.897305','54870b56cee8111fb34b8cc5648afc518b04f910cbc702a7d393edb028eab635');
INSERT INTO "evaluation" VALUES(5,'a057f906750b','1000d2a49d91',14,3.81491006125339566779e+01,9.94860824406197830072e-01,3.88913169999796082265e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/a057f906750b-1000d2a49d91/weights.safetensors','[[2, 0.032914966344833374, null]]','{"wave2.png": [38.14910061253396, 0.9948608244061978]}','2026-11-29 17:08:21.029078','c4c02d275a0d2073438e54bbe7a720339a4b1a79bdaf97250571853f9d801857');
INSERT INTO "evaluation" VALUES(6,'58b5b61ece3c','1000d2a49d91',14,3.8681942990934537363e+01,9.9518947728797435559e-01,1.18314650000002075103e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/58b5b61ece3c-1000d2a49d91/weights.safetensors','[[2, 0.03172260522842407, null]]','{"wave2.png": [38.68194299093454, 0.9951894772879744]}','2026-11-29 17:08:21.308999','0a725810adb151cf015e6ec4b5052b211d0cdbf11d540390501aacb9474e2c2d');
INSERT INTO "evaluation" VALUES(7,'5eb3cc331656','1000d2a49d91',14,3.83276960691233483649e+01,9.94767747661631451805e-01,9.38239500010240590199e-03,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/5eb3cc331656-1000d2a49d91/weights.safetensors','[[2, 0.03202299773693085, null]]','{"wave2.png": [38.32769606912335, 0.9947677476616315]}','2026-11-29 17:08:21.452894','ea8aeac7a220e9c7f3a79966d219a65e6e0ef66ed64c29261f07d19bac22b678');
INSERT INTO "evaluation" VALUES(8,'58b5b61ece3c','a47f9c63110b',14,3.89750065833610861423e+01,9.95454823595397164659e-01,2.68885720000753281055e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/58b5b61ece3c-a47f9c63110b/weights.safetensors','[[2, 0.03172260522842407, null], [4, 0.030949115753173828, null]]','{"wave2.png": [38.975006583361086, 0.9954548235953972]}','2026-11-29 17:08:21.568936','23d677fb69e5e2c1b4704d677b0307fc809041ddfde83a1f7bdd5bf897f041f2');
INSERT INTO "evaluation" VALUES(9,'5b6e289446a2','1000d2a49d91',14,3.86695730676952962321e+01,9.95178939684012608957e-01,2.38550709999572063679e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','golden/candidates/5b6e289446a2-1000d2a49d91/weights.safetensors','[[2, 0.03172186017036438, null]]','{"wave2.png": [38.669573067695296, 0.9951789396840126]}','2026-11-29 17:08:21.717040','7722382d3f42010e8373bb32285302bea928532d8a579f51f626279a19abe958');
CREATE TABLE event (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	kind VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	worker VARCHAR, 
	device VARCHAR, 
	details JSON NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (id), 
	CONSTRAINT fk_event_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT fk_event_trial_id FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "event" VALUES(1,1,NULL,'search_started','2026-11-29 17:08:17.795207','vm:6115:1f0ee9-92665',NULL,'{}');
INSERT INTO "event" VALUES(2,1,1,'proposed','2026-11-29 17:08:18.222174',NULL,NULL,'{}');
INSERT INTO "event" VALUES(3,1,1,'started','2026-11-29 17:08:18.222174','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(4,1,1,'finished','2026-11-29 17:08:20.622473','vm:6115','cpu (1 threads)','{"psnr_db": 38.163168310281414, "train_seconds": 0.027546171000039976, "attempt": 1}');
INSERT INTO "event" VALUES(5,1,2,'proposed','2026-11-29 17:08:20.630011',NULL,NULL,'{}');
INSERT INTO "event" VALUES(6,1,2,'started','2026-11-29 17:08:20.630011','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(7,1,2,'finished','2026-11-29 17:08:20.704544','vm:6115','cpu (1 threads)','{"psnr_db": 38.137344484381835, "train_seconds": 0.01801561499996751, "attempt": 1}');
INSERT INTO "event" VALUES(8,1,3,'proposed','2026-11-29 17:08:20.710094',NULL,NULL,'{}');
INSERT INTO "event" VALUES(9,1,3,'started','2026-11-29 17:08:20.710094','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(10,1,3,'finished','2026-11-29 17:08:20.776509','vm:6115','cpu (1 threads)','{"psnr_db": 37.74373165196258, "train_seconds": 0.014082254999948418, "attempt": 1}');
INSERT INTO "event" VALUES(11,1,4,'proposed','2026-11-29 17:08:20.782520',NULL,NULL,'{}');
INSERT INTO "event" VALUES(12,1,4,'started','2026-11-29 17:08:20.782520','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(13,1,4,'finished','2026-11-29 17:08:20.897305','vm:6115','cpu (1 threads)','{"psnr_db": 37.37911185797919, "train_seconds": 0.048150633999966885, "attempt": 1}');
INSERT INTO "event" VALUES(14,1,5,'proposed','2026-11-29 17:08:20.911654',NULL,NULL,'{}');
INSERT INTO "event" VALUES(15,1,5,'started','2026-11-29 17:08:20.911654','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(16,1,5,'finished','2026-11-29 17:08:21.029078','vm:6115','cpu (1 threads)','{"psnr_db": 38.14910061253396, "train_seconds": 0.03889131699997961, "attempt": 1}');
INSERT INTO "event" VALUES(17,1,6,'proposed','2026-11-29 17:08:21.238984',NULL,NULL,'{}');
INSERT INTO "event" VALUES(18,1,6,'started','2026-11-29 17:08:21.238984','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(19,1,6,'finished','2026-11-29 17:08:21.308999','vm:6115','cpu (1 threads)','{"psnr_db": 38.68194299093454, "train_seconds": 0.011831465000000208, "attempt": 1}');
INSERT INTO "event" VALUES(20,1,7,'proposed','2026-11-29 17:08:21.374453',NULL,NULL,'{}');
INSERT INTO "event" VALUES(21,1,7,'started','2026-11-29 17:08:21.374453','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(22,1,7,'finished','2026-11-29 17:08:21.452894','vm:6115','cpu (1 threads)','{"psnr_db": 38.32769606912335, "train_seconds": 0.009382395000102406, "attempt": 1}');
INSERT INTO "event" VALUES(23,1,8,'proposed','2026-11-29 17:08:21.466551',NULL,NULL,'{}');
INSERT INTO "event" VALUES(24,1,8,'started','2026-11-29 17:08:21.466551','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(25,1,8,'finished','2026-11-29 17:08:21.568936','vm:6115','cpu (1 threads)','{"psnr_db": 38.975006583361086, "train_seconds": 0.026888572000075328, "attempt": 1}');
INSERT INTO "event" VALUES(26,1,9,'proposed','2026-11-29 17:08:21.624348',NULL,NULL,'{}');
INSERT INTO "event" VALUES(27,1,9,'started','2026-11-29 17:08:21.624348','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(28,1,9,'finished','2026-11-29 17:08:21.717040','vm:6115','cpu (1 threads)','{"psnr_db": 38.669573067695296, "train_seconds": 0.023855070999957206, "attempt": 1}');
INSERT INTO "event" VALUES(29,1,10,'proposed','2026-11-29 17:08:21.776872',NULL,NULL,'{}');
INSERT INTO "event" VALUES(30,1,10,'started','2026-11-29 17:08:21.776872','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(31,1,10,'released','2026-11-29 17:08:21.819363','vm:6115:1f0ee9-92665',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(32,1,NULL,'search_ended','2026-11-29 17:08:21.826048','vm:6115:1f0ee9-92665',NULL,'{"reason": "interrupted"}');
CREATE TABLE genotype (
	id VARCHAR NOT NULL, 
	space VARCHAR NOT NULL, 
	choices JSON NOT NULL, name VARCHAR, 
	CONSTRAINT pk_genotype PRIMARY KEY (id)
);
INSERT INTO "genotype" VALUES('bca165f62596','lightweight','{"width": 16, "stem": "3x3", "blocks": 1, "block": "residual", "attention": "esa", "kernel": "3x3", "activation": "relu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('6cd6c6f67f1f','lightweight','{"width": 16, "stem": "3x3", "blocks": 2, "block": "residual", "attention": "none", "kernel": "3x3", "activation": "silu", "sharing": "none", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('12e2a0d8bb15','lightweight','{"width": 16, "stem": "3x3", "blocks": 2, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "gelu", "sharing": "none", "aggregation": "dense", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": true, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('a057f906750b','lightweight','{"width": 24, "stem": "pyramid", "blocks": 1, "block": "residual", "attention": "none", "kernel": "3x3", "activation": "lrelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('58b5b61ece3c','lightweight','{"width": 16, "stem": "blueprint", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "silu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('5eb3cc331656','lightweight','{"width": 16, "stem": "3x3", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "silu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('5b6e289446a2','lightweight','{"width": 16, "stem": "blueprint", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "lrelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('51119bfc480a','lightweight','{"width": 16, "stem": "blueprint", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "gelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
CREATE TABLE measurement (
	id INTEGER NOT NULL, 
	network VARCHAR NOT NULL, 
	genotype_id VARCHAR, 
	weights VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	benchmark VARCHAR NOT NULL, 
	data_digest VARCHAR NOT NULL, 
	low_resolution VARCHAR NOT NULL, 
	metric VARCHAR NOT NULL, 
	psnr_db DOUBLE NOT NULL, 
	ssim DOUBLE, 
	per_image JSON NOT NULL, 
	seconds DOUBLE NOT NULL, 
	device VARCHAR NOT NULL, 
	torch_version VARCHAR NOT NULL, 
	code_version VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, checkpoint_sha256 VARCHAR, 
	CONSTRAINT pk_measurement PRIMARY KEY (id), 
	CONSTRAINT uq_measurement_network_weights_scale_data_digest_metric UNIQUE (network, weights, scale, data_digest, metric), 
	CONSTRAINT fk_measurement_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
);
CREATE TABLE protocol (
	id VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	plan_name VARCHAR NOT NULL, 
	"plan" JSON NOT NULL, 
	data VARCHAR NOT NULL, 
	data_digest VARCHAR NOT NULL, 
	metric VARCHAR NOT NULL, 
	bicubic_psnr_db DOUBLE NOT NULL, 
	bicubic_ssim DOUBLE NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_protocol PRIMARY KEY (id)
);
INSERT INTO "protocol" VALUES('1000d2a49d91',2,'short','{"steps": 2, "batch": 2, "lr_patch": 12, "lr": 0.0005, "lr_end": 6.25e-06, "schedule": "constant", "warmup_steps": 0, "ema": 0.999, "clip_norm": 0.0, "precision": "fp32", "loss": "l1", "fft_weight": 0.05, "optimizer": "adam", "beta2": 0.999, "weight_decay": 0.0, "drop_every": 200000, "drop_factor": 0.5, "distil": "none", "distil_weight": null, "distil_points": 4, "distil_dim": 128, "quantise_bits": 0, "adversarial": "none", "adversarial_weight": 0.6, "feature_weight": 1.0, "tv_weight": 2e-08, "pixel_weight": 0.0, "group_lasso": 0.0}','folder:images','1849e15e1413eabf','y_float',3.63650397421479283362e+01,9.92460938895318611763e-01,'2026-11-29 17:08:17.804152');
INSERT INTO "protocol" VALUES('a47f9c63110b',2,'short','{"steps": 4, "batch": 2, "lr_patch": 12, "lr": 0.0005, "lr_end": 6.25e-06, "schedule": "constant", "warmup_steps": 0, "ema": 0.999, "clip_norm": 0.0, "precision": "fp32", "loss": "l1", "fft_weight": 0.05, "optimizer": "adam", "beta2": 0.999, "weight_decay": 0.0, "drop_every": 200000, "drop_factor": 0.5, "distil": "none", "distil_weight": null, "distil_points": 4, "distil_dim": 128, "quantise_bits": 0, "adversarial": "none", "adversarial_weight": 0.6, "feature_weight": 1.0, "tv_weight": 2e-08, "pixel_weight": 0.0, "group_lasso": 0.0}','folder:images','1849e15e1413eabf','y_float',3.63650397421479283362e+01,9.92460938895318611763e-01,'2026-11-29 17:08:17.807141');
INSERT INTO "protocol" VALUES('5ff110fef0f1',2,'short','{"steps": 8, "batch": 2, "lr_patch": 12, "lr": 0.0005, "lr_end": 6.25e-06, "schedule": "constant", "warmup_steps": 0, "ema": 0.999, "clip_norm": 0.0, "precision": "fp32", "loss": "l1", "fft_weight": 0.05, "optimizer": "adam", "beta2": 0.999, "weight_decay": 0.0, "drop_every": 200000, "drop_factor": 0.5, "distil": "none", "distil_weight": null, "distil_points": 4, "distil_dim": 128, "quantise_bits": 0, "adversarial": "none", "adversarial_weight": 0.6, "feature_weight": 1.0, "tv_weight": 2e-08, "pixel_weight": 0.0, "group_lasso": 0.0}','folder:images','1849e15e1413eabf','y_float',3.63650397421479283362e+01,9.92460938895318611763e-01,'2026-11-29 17:08:17.808517');
CREATE TABLE retrain_request (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	genotype_id VARCHAR NOT NULL, 
	"plan" VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	owner VARCHAR, 
	reason VARCHAR, 
	created_at DATETIME NOT NULL, 
	taken_at DATETIME, 
	finished_at DATETIME, 
	CONSTRAINT pk_retrain_request PRIMARY KEY (id), 
	CONSTRAINT fk_retrain_request_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT fk_retrain_request_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT ck_retrain_request_state CHECK (state IN ('waiting', 'taken', 'done', 'withdrawn', 'failed')), 
	CONSTRAINT ck_retrain_request_finished_at_when_over CHECK ((state IN ('waiting', 'taken')) = (finished_at IS NULL)), 
	CONSTRAINT ck_retrain_request_owner_when_taken CHECK ((state = 'taken') = (owner IS NOT NULL)), 
	CONSTRAINT ck_retrain_request_reason_when_failed CHECK ((state = 'failed') = (reason IS NOT NULL)), 
	CONSTRAINT ck_retrain_request_taken_at_when_taken CHECK (CASE WHEN taken_at IS NULL THEN state IN ('waiting', 'withdrawn') ELSE state <> 'waiting' END)
);
CREATE TABLE runtime (
	id INTEGER NOT NULL, 
	network VARCHAR NOT NULL, 
	genotype_id VARCHAR, 
	scale INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	batch INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	threads INTEGER NOT NULL, 
	precision VARCHAR NOT NULL, 
	engine VARCHAR NOT NULL, 
	median_ms DOUBLE NOT NULL, 
	p5_ms DOUBLE NOT NULL, 
	p95_ms DOUBLE NOT NULL, 
	peak_memory_bytes BIGINT, 
	torch_version VARCHAR NOT NULL, 
	code_version VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_runtime PRIMARY KEY (id), 
	CONSTRAINT uq_runtime_setting UNIQUE (network, scale, height, width, batch, device, threads, precision, engine), 
	CONSTRAINT fk_runtime_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT ck_runtime_precision CHECK (precision IN ('fp32', 'tf32', 'bf16', 'fp16', 'int8')), 
	CONSTRAINT ck_runtime_engine CHECK (engine IN ('eager', 'compiled', 'onnxruntime')), 
	CONSTRAINT ck_runtime_sizes CHECK (scale > 0 AND height > 0 AND width > 0 AND batch > 0 AND threads >= 0), 
	CONSTRAINT ck_runtime_times CHECK (p5_ms > 0 AND p5_ms <= median_ms AND median_ms <= p95_ms), 
	CONSTRAINT ck_runtime_memory CHECK (peak_memory_bytes >= 0)
);
CREATE TABLE study (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	recipe JSON NOT NULL, 
	space_digest VARCHAR NOT NULL, 
	code_version VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, owner VARCHAR, lease_until DATETIME, 
	CONSTRAINT pk_study PRIMARY KEY (id), 
	CONSTRAINT uq_study_name UNIQUE (name)
);
INSERT INTO "study" VALUES(1,'golden','{"scale": 2, "data": "folder:images", "metric": "y_float", "trials": 10, "seed": 14, "sampler": "surrogate", "objectives": ["psnr_db", "multi_adds"], "rungs": [2, 4, 8], "seeds_for_front": 2, "hours": null, "target_hypervolume": null, "seed_published": false, "warm_start": null, "executor": "inline", "workers": 1, "device": "cpu", "time_limit_seconds": null, "ray_address": null, "gpus_per_worker": null, "space": {"name": "lightweight", "only": {"width": [16, 24], "blocks": [1, 2], "block": ["residual", "rlfb"], "attention": ["none", "esa"], "kernel": ["3x3"], "sharing": ["none"], "aggregation": ["plain", "dense"], "transformers": [0], "skip": ["bicubic"]}}, "budget": {"params": 20000, "multi_adds": 4000000000, "conv_multi_adds": null, "min_params": null, "min_multi_adds": null, "memory": null, "latency_ms": null}, "proxy": {"plan": "short", "steps": 3, "batch": 2, "lr_patch": 12, "lr": 0.0005, "schedule": "constant", "ema": 0.999}, "retrain": {"plan": "longer", "steps": 4, "batch": 2, "lr_patch": 12, "lr": 0.002, "lr_end": 1e-06}}','8dc00e2d34fb0fb3','0.1.0','2026-11-29 17:08:17.784727',NULL,NULL);
CREATE TABLE "trial" (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	stage VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	genotype_id VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	state VARCHAR NOT NULL, 
	excess JSON NOT NULL, 
	evaluation_id INTEGER, 
	reason VARCHAR, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	rung INTEGER DEFAULT '0' NOT NULL, 
	protocol_id VARCHAR, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	owner VARCHAR, 
	lease_until DATETIME, 
	worker VARCHAR, 
	failure VARCHAR, measured JSON, 
	CONSTRAINT pk_trial PRIMARY KEY (id), 
	CONSTRAINT fk_trial_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT fk_trial_protocol_id FOREIGN KEY(protocol_id) REFERENCES protocol (id), 
	CONSTRAINT uq_trial_study_id_stage_number UNIQUE (study_id, stage, number), 
	CONSTRAINT fk_trial_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT fk_trial_evaluation_id FOREIGN KEY(evaluation_id) REFERENCES evaluation (id), 
	CONSTRAINT fk_trial_genotype_id_scale FOREIGN KEY(genotype_id, scale) REFERENCES cost (genotype_id, scale), 
	CONSTRAINT ck_trial_evaluation_when_done CHECK ((state IN ('finished', 'repeated')) = (evaluation_id IS NOT NULL)), 
	CONSTRAINT ck_trial_stage CHECK (stage IN ('search', 'seeds', 'retrain')), 
	CONSTRAINT ck_trial_state CHECK (state IN ('waiting', 'running', 'finished', 'rejected', 'repeated', 'failed')), 
	CONSTRAINT ck_trial_finished_at_when_done CHECK ((state IN ('waiting', 'running')) = (finished_at IS NULL)), 
	CONSTRAINT ck_trial_lease_when_running CHECK ((state = 'running') = (lease_until IS NOT NULL)), 
	CONSTRAINT ck_trial_owner_when_taken CHECK (CASE WHEN owner IS NULL THEN state <> 'running' ELSE state IN ('running', 'finished', 'repeated', 'failed') END), 
	CONSTRAINT ck_trial_failure_when_failed CHECK ((state = 'failed') = (failure IS NOT NULL)), 
	CONSTRAINT ck_trial_failure CHECK (failure IN ('error', 'diverged', 'out_of_memory', 'timed_out', 'worker_lost', 'given_up')), 
	CONSTRAINT ck_trial_counts CHECK (rung >= 0 AND attempt >= 0)
);
INSERT INTO "trial" VALUES(1,1,'search',0,'bca165f62596',2,14,'finished','{}',1,NULL,'2026-11-29 17:08:18.222174','2026-11-29 17:08:20.622473',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(2,1,'search',1,'6cd6c6f67f1f',2,14,'finished','{}',2,NULL,'2026-11-29 17:08:20.630011','2026-11-29 17:08:20.704544',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(3,1,'search',2,'12e2a0d8bb15',2,14,'finished','{}',3,NULL,'2026-11-29 17:08:20.710094','2026-11-29 17:08:20.776509',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(4,1,'search',3,'bca165f62596',2,14,'finished','{}',4,NULL,'2026-11-29 17:08:20.782520','2026-11-29 17:08:20.897305',1,'a47f9c63110b',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(5,1,'search',4,'a057f906750b',2,14,'finished','{}',5,NULL,'2026-11-29 17:08:20.911654','2026-11-29 17:08:21.029078',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(6,1,'search',5,'58b5b61ece3c',2,14,'finished','{}',6,NULL,'2026-11-29 17:08:21.238984','2026-11-29 17:08:21.308999',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(7,1,'search',6,'5eb3cc331656',2,14,'finished','{}',7,NULL,'2026-11-29 17:08:21.374453','2026-11-29 17:08:21.452894',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(8,1,'search',7,'58b5b61ece3c',2,14,'finished','{}',8,NULL,'2026-11-29 17:08:21.466551','2026-11-29 17:08:21.568936',1,'a47f9c63110b',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(9,1,'search',8,'5b6e289446a2',2,14,'finished','{}',9,NULL,'2026-11-29 17:08:21.624348','2026-11-29 17:08:21.717040',0,'1000d2a49d91',1,'vm:6115:1f0ee9-92665',NULL,'vm:6115',NULL,'null');
INSERT INTO "trial" VALUES(10,1,'search',9,'51119bfc480a',2,14,'waiting','{}',NULL,NULL,'2026-11-29 17:08:21.776872',NULL,0,'1000d2a49d91',0,NULL,NULL,NULL,NULL,'null');
CREATE INDEX ix_trial_study_id_state_id ON trial (study_id, state, id);
CREATE INDEX ix_trial_evaluation_id ON trial (evaluation_id);
CREATE INDEX ix_event_study_id_id ON event (study_id, id);
CREATE INDEX ix_event_trial_id ON event (trial_id);
CREATE INDEX ix_measurement_genotype_id ON measurement (genotype_id);
CREATE INDEX ix_runtime_genotype_id ON runtime (genotype_id);
CREATE UNIQUE INDEX uq_retrain_request_open ON retrain_request (study_id, genotype_id, "plan") WHERE state IN ('waiting', 'taken');
CREATE INDEX ix_retrain_request_study_id_state_id ON retrain_request (study_id, state, id);
COMMIT;
