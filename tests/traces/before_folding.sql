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
	activations BIGINT NOT NULL, 
	parts JSON, 
	CONSTRAINT pk_cost PRIMARY KEY (genotype_id, scale), 
	CONSTRAINT fk_cost_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
);
INSERT INTO "cost" VALUES('51119bfc480a',2,4684,1065369600,1065369600,17510400,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 352, "multi_adds": 77414400, "conv_multi_adds": 77414400, "activations": 7372800}, {"part": "block, rlfb, none, 3x3, gelu", "copies": 1, "uses": 1, "params": 2592, "multi_adds": 589824000, "conv_multi_adds": 589824000, "activations": 7372800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('ef41db50893c',2,9084,2073600000,2073600000,19353600,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 672, "multi_adds": 149299200, "conv_multi_adds": 149299200, "activations": 5529600}, {"part": "block, rlfb, none, 3x3, relu", "copies": 1, "uses": 1, "params": 5808, "multi_adds": 1327104000, "conv_multi_adds": 1327104000, "activations": 11059200}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}]');
INSERT INTO "cost" VALUES('96a17e19282a',2,7100,1618329600,1618329600,17510400,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 448, "multi_adds": 99532800, "conv_multi_adds": 99532800, "activations": 3686400}, {"part": "block, rlfb, none, 3x3, gelu", "copies": 1, "uses": 1, "params": 4912, "multi_adds": 1120665600, "conv_multi_adds": 1120665600, "activations": 11059200}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('9515f9d8a519',2,11544,2637619200,2637619200,27648000,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 528, "multi_adds": 116121600, "conv_multi_adds": 116121600, "activations": 11059200}, {"part": "block, rlfb, none, 3x3, gelu", "copies": 1, "uses": 1, "params": 5808, "multi_adds": 1327104000, "conv_multi_adds": 1327104000, "activations": 11059200}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}]');
INSERT INTO "cost" VALUES('cb00716433ff',2,7276,1655193600,1655193600,24883200,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 352, "multi_adds": 77414400, "conv_multi_adds": 77414400, "activations": 7372800}, {"part": "block, rlfb, none, 3x3, gelu", "copies": 2, "uses": 2, "params": 5184, "multi_adds": 1179648000, "conv_multi_adds": 1179648000, "activations": 14745600}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('858405d74668',2,17516,4014489600,4014489600,54374400,NULL);
INSERT INTO "cost" VALUES('2e816df4fef7',2,27252,6231859200,6231859200,47001600,NULL);
INSERT INTO "cost" VALUES('886783000281',2,54909,11067025656,11067025656,256862143,NULL);
INSERT INTO "cost" VALUES('e0f3f4faa7a1',2,9168,2092032000,2092032000,27648000,'[{"part": "stem, pyramid", "copies": 1, "uses": 1, "params": 1560, "multi_adds": 352051200, "conv_multi_adds": 352051200, "activations": 7372800}, {"part": "block, rlfb, none, asymmetric, silu", "copies": 1, "uses": 1, "params": 4128, "multi_adds": 943718400, "conv_multi_adds": 943718400, "activations": 14745600}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('a99143fe5d19',2,27768,6353510400,6353510400,49766400,NULL);
INSERT INTO "cost" VALUES('21b9d78ee8ee',2,12396,2836684800,2836684800,35942400,'[{"part": "stem, blueprint", "copies": 1, "uses": 1, "params": 528, "multi_adds": 116121600, "conv_multi_adds": 116121600, "activations": 11059200}, {"part": "block, rlfb, none, asymmetric, lrelu", "copies": 1, "uses": 1, "params": 9264, "multi_adds": 2123366400, "conv_multi_adds": 2123366400, "activations": 22118400}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}]');
INSERT INTO "cost" VALUES('e50d8811addf',2,7940,1811865600,1811865600,17510400,'[{"part": "stem, pyramid", "copies": 1, "uses": 1, "params": 1560, "multi_adds": 352051200, "conv_multi_adds": 352051200, "activations": 7372800}, {"part": "block, residual, none, 3x3, silu", "copies": 1, "uses": 1, "params": 4640, "multi_adds": 1061683200, "conv_multi_adds": 1061683200, "activations": 7372800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
INSERT INTO "cost" VALUES('7c98e8617c27',2,16296,3732480000,3732480000,22118400,'[{"part": "stem, 3x3", "copies": 1, "uses": 1, "params": 672, "multi_adds": 149299200, "conv_multi_adds": 149299200, "activations": 5529600}, {"part": "block, residual, none, 3x3, silu", "copies": 1, "uses": 1, "params": 10416, "multi_adds": 2388787200, "conv_multi_adds": 2388787200, "activations": 11059200}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 2604, "multi_adds": 597196800, "conv_multi_adds": 597196800, "activations": 2764800}]');
INSERT INTO "cost" VALUES('e80ddd7f31b4',2,15840,3359742048,3359742048,39310168,'[{"part": "stem, pyramid", "copies": 1, "uses": 1, "params": 1560, "multi_adds": 352051200, "conv_multi_adds": 352051200, "activations": 7372800}, {"part": "block, residual, esa, 3x3, silu", "copies": 2, "uses": 2, "params": 10800, "multi_adds": 2211428448, "conv_multi_adds": 2211428448, "activations": 26407768}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}, {"part": "tail, pixel_shuffle", "copies": 1, "uses": 1, "params": 1740, "multi_adds": 398131200, "conv_multi_adds": 398131200, "activations": 2764800}]');
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
	checkpoint_sha256 VARCHAR, 
	curve JSON NOT NULL, 
	per_image JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_evaluation PRIMARY KEY (id), 
	CONSTRAINT uq_evaluation_genotype_id_protocol_id_seed UNIQUE (genotype_id, protocol_id, seed), 
	CONSTRAINT fk_evaluation_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT fk_evaluation_protocol_id FOREIGN KEY(protocol_id) REFERENCES protocol (id)
);
INSERT INTO "evaluation" VALUES(1,'51119bfc480a','c8124508e54a',4,3.89299445173452625112e+01,9.93199559820043265112e-01,3.04353870014892891049e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','before-folding/candidates/51119bfc480a-c8124508e54a/weights.safetensors','6fe23ea49de2748ac65ca3d302bf45fabef22026832366056eb5d063fc1bfb1f','[[3, 0.02276162306467692, null]]','{"wave2.png": [38.92994451734526, 0.9931995598200433]}','2026-11-30 04:09:51.947512');
INSERT INTO "evaluation" VALUES(2,'ef41db50893c','c8124508e54a',4,3.90409010318491525018e+01,9.93374898471795164667e-01,0.0180550500008394,'cpu (1 threads)','2.13.0+cpu','0.1.0','before-folding/candidates/ef41db50893c-c8124508e54a/weights.safetensors','0dedcddb37085ca6fb81c9503de16346b0be9a8cf81121d7b1bd0000fec578cf','[[3, 0.0242115780711174, null]]','{"wave2.png": [39.04090103184915, 0.9933748984717952]}','2026-11-30 04:09:52.011817');
INSERT INTO "evaluation" VALUES(3,'96a17e19282a','c8124508e54a',4,3.9267095858292442756e+01,0.993606612895407,1.69452889967942610383e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','before-folding/candidates/96a17e19282a-c8124508e54a/weights.safetensors','98f72374b2936d431faaffbe359be557c543b97610e67c5df668e19298d7429b','[[3, 0.021921316782633465, null]]','{"wave2.png": [39.26709585829244, 0.993606612895407]}','2026-11-30 04:09:52.067996');
INSERT INTO "evaluation" VALUES(4,'9515f9d8a519','c8124508e54a',4,3.85489340945687501971e+01,9.93001867490426182172e-01,2.17370559985283762216e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','before-folding/candidates/9515f9d8a519-c8124508e54a/weights.safetensors','2bfdf888916c340997a0919284c26aadd4fda123bd0f07aea7b7658d98573a24','[[3, 0.027758389711380005, null]]','{"wave2.png": [38.54893409456875, 0.9930018674904262]}','2026-11-30 04:09:52.132450');
INSERT INTO "evaluation" VALUES(5,'cb00716433ff','c8124508e54a',4,3.89539851915579404817e+01,9.93214410850673079522e-01,1.86533020023489370942e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','before-folding/candidates/cb00716433ff-c8124508e54a/weights.safetensors','fa3a616a3be2a0ab8adc7ddd1fc6d39773bdaa7b4d073901cc45c4e7e9199d71','[[3, 0.02240423858165741, null]]','{"wave2.png": [38.95398519155794, 0.9932144108506731]}','2026-11-30 04:09:52.195320');
INSERT INTO "evaluation" VALUES(6,'e0f3f4faa7a1','c8124508e54a',4,3.89871621143551365662e+01,0.993397819915833,4.14953060026164166629e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','before-folding/candidates/e0f3f4faa7a1-c8124508e54a/weights.safetensors','9ef6f3a5400e0b2be11cfb9b9b2cfcb080f6ebae1cfb215fe9043e32b7f5865f','[[3, 0.024242500464121502, null]]','{"wave2.png": [38.98716211435514, 0.993397819915833]}','2026-11-30 04:09:52.535832');
INSERT INTO "evaluation" VALUES(7,'e50d8811addf','c8124508e54a',2,3.86848599195998588129e+01,9.92700792789142694161e-01,2.67440600000554695725e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','plain/candidates/e50d8811addf-c8124508e54a/weights.safetensors','6b7d8758e2f0b114ce954faa3f6bd3bfd14178c16c3ebc0f099076636a5da67f','[[3, 0.024725280702114105, null]]','{"wave2.png": [38.68485991959986, 0.9927007927891427]}','2026-11-30 04:09:52.800813');
INSERT INTO "evaluation" VALUES(8,'7c98e8617c27','c8124508e54a',2,3.77772322432416203237e+01,9.9052601230136028132e-01,1.93067660002270713448e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','plain/candidates/7c98e8617c27-c8124508e54a/weights.safetensors','5b83cf04fa67ef169d8a73763f0444efdaad59392b54760ff1537ef17aa4041f','[[3, 0.027390892306963604, null]]','{"wave2.png": [37.77723224324162, 0.9905260123013603]}','2026-11-30 04:09:52.856057');
INSERT INTO "evaluation" VALUES(9,'e80ddd7f31b4','c8124508e54a',2,3.81064606434671588885e+01,9.91646440320692601488e-01,4.82945559997460804879e-02,'cpu (1 threads)','2.13.0+cpu','0.1.0','plain/candidates/e80ddd7f31b4-c8124508e54a/weights.safetensors','42495c05a4df434433c7621f3abb5feaec1ab8592966806000a8446382bc2d4c','[[3, 0.02579454332590103, null]]','{"wave2.png": [38.10646064346716, 0.9916464403206926]}','2026-11-30 04:09:52.950519');
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
INSERT INTO "event" VALUES(1,1,NULL,'search_started','2026-11-30 04:09:49.991726','vm:26917:1f0ee9-4061864',NULL,'{}');
INSERT INTO "event" VALUES(2,1,1,'proposed','2026-11-30 04:09:50.645325',NULL,NULL,'{}');
INSERT INTO "event" VALUES(3,1,1,'started','2026-11-30 04:09:50.645325','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(4,1,1,'finished','2026-11-30 04:09:51.947512','vm:26917','cpu (1 threads)','{"psnr_db": 38.92994451734526, "train_seconds": 0.03043538700148929, "attempt": 1}');
INSERT INTO "event" VALUES(5,1,2,'proposed','2026-11-30 04:09:51.959218',NULL,NULL,'{}');
INSERT INTO "event" VALUES(6,1,2,'started','2026-11-30 04:09:51.959218','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(7,1,2,'finished','2026-11-30 04:09:52.011817','vm:26917','cpu (1 threads)','{"psnr_db": 39.04090103184915, "train_seconds": 0.0180550500008394, "attempt": 1}');
INSERT INTO "event" VALUES(8,1,3,'proposed','2026-11-30 04:09:52.022509',NULL,NULL,'{}');
INSERT INTO "event" VALUES(9,1,3,'started','2026-11-30 04:09:52.022509','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(10,1,3,'finished','2026-11-30 04:09:52.067996','vm:26917','cpu (1 threads)','{"psnr_db": 39.26709585829244, "train_seconds": 0.01694528899679426, "attempt": 1}');
INSERT INTO "event" VALUES(11,1,4,'proposed','2026-11-30 04:09:52.078655',NULL,NULL,'{}');
INSERT INTO "event" VALUES(12,1,4,'started','2026-11-30 04:09:52.078655','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(13,1,4,'finished','2026-11-30 04:09:52.132450','vm:26917','cpu (1 threads)','{"psnr_db": 38.54893409456875, "train_seconds": 0.021737055998528376, "attempt": 1}');
INSERT INTO "event" VALUES(14,1,5,'proposed','2026-11-30 04:09:52.148881',NULL,NULL,'{}');
INSERT INTO "event" VALUES(15,1,5,'started','2026-11-30 04:09:52.148881','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(16,1,5,'finished','2026-11-30 04:09:52.195320','vm:26917','cpu (1 threads)','{"psnr_db": 38.95398519155794, "train_seconds": 0.018653302002348937, "attempt": 1}');
INSERT INTO "event" VALUES(17,1,NULL,'search_ended','2026-11-30 04:09:52.204843','vm:26917:1f0ee9-4061864',NULL,'{"reason": "interrupted"}');
INSERT INTO "event" VALUES(18,1,NULL,'search_started','2026-11-30 04:09:52.248097','vm:26917:1f0ee9-4061864',NULL,'{}');
INSERT INTO "event" VALUES(19,1,6,'rejected','2026-11-30 04:09:52.285472',NULL,NULL,'{"excess": {"params": 0.20799999999999996, "multi_adds": 0.21651200000000004}}');
INSERT INTO "event" VALUES(20,1,7,'rejected','2026-11-30 04:09:52.315820',NULL,NULL,'{"excess": {"params": 0.879448275862069, "multi_adds": 0.8884421818181818}}');
INSERT INTO "event" VALUES(21,1,8,'rejected','2026-11-30 04:09:52.331552',NULL,NULL,'{"excess": {"params": 2.7868275862068965, "multi_adds": 2.353644138181818}}');
INSERT INTO "event" VALUES(22,1,9,'proposed','2026-11-30 04:09:52.356727',NULL,NULL,'{}');
INSERT INTO "event" VALUES(23,1,9,'started','2026-11-30 04:09:52.356727','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(24,1,9,'released','2026-11-30 04:09:52.406162','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(25,1,NULL,'search_ended','2026-11-30 04:09:52.412143','vm:26917:1f0ee9-4061864',NULL,'{"reason": "interrupted"}');
INSERT INTO "event" VALUES(26,1,NULL,'search_started','2026-11-30 04:09:52.438621','vm:26917:1f0ee9-4061864',NULL,'{}');
INSERT INTO "event" VALUES(27,1,9,'started','2026-11-30 04:09:52.465416','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(28,1,9,'finished','2026-11-30 04:09:52.535832','vm:26917','cpu (1 threads)','{"psnr_db": 38.98716211435514, "train_seconds": 0.04149530600261642, "attempt": 1}');
INSERT INTO "event" VALUES(29,1,NULL,'search_ended','2026-11-30 04:09:52.548655','vm:26917:1f0ee9-4061864',NULL,'{"reason": "interrupted"}');
INSERT INTO "event" VALUES(30,1,NULL,'search_started','2026-11-30 04:09:52.575356','vm:26917:1f0ee9-4061864',NULL,'{}');
INSERT INTO "event" VALUES(31,1,10,'rejected','2026-11-30 04:09:52.618105',NULL,NULL,'{"excess": {"params": 0.9150344827586208, "multi_adds": 0.9253061818181818}}');
INSERT INTO "event" VALUES(32,1,11,'proposed','2026-11-30 04:09:52.647521',NULL,NULL,'{}');
INSERT INTO "event" VALUES(33,1,11,'started','2026-11-30 04:09:52.647521','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(34,1,11,'released','2026-11-30 04:09:52.682126','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(35,1,NULL,'search_ended','2026-11-30 04:09:52.687397','vm:26917:1f0ee9-4061864',NULL,'{"reason": "interrupted"}');
INSERT INTO "event" VALUES(36,2,NULL,'search_started','2026-11-30 04:09:52.712817','vm:26917:1f0ee9-4061864',NULL,'{}');
INSERT INTO "event" VALUES(37,2,12,'proposed','2026-11-30 04:09:52.740764',NULL,NULL,'{}');
INSERT INTO "event" VALUES(38,2,12,'started','2026-11-30 04:09:52.740764','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(39,2,12,'finished','2026-11-30 04:09:52.800813','vm:26917','cpu (1 threads)','{"psnr_db": 38.68485991959986, "train_seconds": 0.02674406000005547, "attempt": 1}');
INSERT INTO "event" VALUES(40,2,13,'proposed','2026-11-30 04:09:52.812710',NULL,NULL,'{}');
INSERT INTO "event" VALUES(41,2,13,'started','2026-11-30 04:09:52.812710','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(42,2,13,'finished','2026-11-30 04:09:52.856057','vm:26917','cpu (1 threads)','{"psnr_db": 37.77723224324162, "train_seconds": 0.01930676600022707, "attempt": 1}');
INSERT INTO "event" VALUES(43,2,14,'proposed','2026-11-30 04:09:52.865825',NULL,NULL,'{}');
INSERT INTO "event" VALUES(44,2,14,'started','2026-11-30 04:09:52.865825','vm:26917:1f0ee9-4061864',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(45,2,14,'finished','2026-11-30 04:09:52.950519','vm:26917','cpu (1 threads)','{"psnr_db": 38.10646064346716, "train_seconds": 0.04829455599974608, "attempt": 1}');
INSERT INTO "event" VALUES(46,2,NULL,'search_ended','2026-11-30 04:09:52.959108','vm:26917:1f0ee9-4061864',NULL,'{"reason": "finished"}');
CREATE TABLE genotype (
	id VARCHAR NOT NULL, 
	space VARCHAR NOT NULL, 
	choices JSON NOT NULL, 
	name VARCHAR, 
	CONSTRAINT pk_genotype PRIMARY KEY (id)
);
INSERT INTO "genotype" VALUES('51119bfc480a','lightweight','{"width": 16, "stem": "blueprint", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "gelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('ef41db50893c','lightweight','{"width": 24, "stem": "3x3", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "relu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('96a17e19282a','lightweight','{"width": 16, "stem": "3x3", "blocks": 1, "block": "rlfb", "depth": 2, "attention": "none", "kernel": "3x3", "activation": "gelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('9515f9d8a519','lightweight','{"width": 24, "stem": "blueprint", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "gelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": true, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('cb00716433ff','lightweight','{"width": 16, "stem": "blueprint", "blocks": 2, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "3x3", "activation": "gelu", "sharing": "none", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('858405d74668','lightweight','{"width": 16, "stem": "blueprint", "blocks": 2, "block": "residual", "attention": "none", "kernel": "asymmetric", "activation": "relu", "sharing": "none", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('2e816df4fef7','lightweight','{"width": 24, "stem": "pyramid", "blocks": 2, "block": "rlfb", "depth": 2, "attention": "none", "kernel": "3x3", "activation": "lrelu", "sharing": "none", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('886783000281','lightweight','{"width": 24, "stem": "pyramid", "blocks": 1, "block": "acdm", "depth": 2, "share": 0.5, "kernel": "3x3", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('e0f3f4faa7a1','lightweight','{"width": 16, "stem": "pyramid", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "asymmetric", "activation": "silu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": true, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('a99143fe5d19','lightweight','{"width": 24, "stem": "blueprint", "blocks": 2, "block": "rlfb", "depth": 2, "attention": "none", "kernel": "3x3", "activation": "silu", "sharing": "none", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": true, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('21b9d78ee8ee','lightweight','{"width": 24, "stem": "blueprint", "blocks": 1, "block": "rlfb", "depth": 1, "attention": "none", "kernel": "asymmetric", "activation": "lrelu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('e50d8811addf','lightweight','{"width": 16, "stem": "pyramid", "blocks": 1, "block": "residual", "attention": "none", "kernel": "3x3", "activation": "silu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": false, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('7c98e8617c27','lightweight','{"width": 24, "stem": "3x3", "blocks": 1, "block": "residual", "attention": "none", "kernel": "3x3", "activation": "silu", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": true, "skip": "bicubic"}',NULL);
INSERT INTO "genotype" VALUES('e80ddd7f31b4','lightweight','{"width": 16, "stem": "pyramid", "blocks": 2, "block": "residual", "attention": "esa", "kernel": "3x3", "activation": "silu", "sharing": "none", "aggregation": "dense", "transformers": 0, "tail": "pixel_shuffle", "shallow_tail": true, "skip": "bicubic"}',NULL);
CREATE TABLE measurement (
	id INTEGER NOT NULL, 
	network VARCHAR NOT NULL, 
	genotype_id VARCHAR, 
	weights VARCHAR NOT NULL, 
	checkpoint_sha256 VARCHAR, 
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
	created_at DATETIME NOT NULL, 
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
INSERT INTO "protocol" VALUES('c8124508e54a',2,'short','{"steps": 3, "batch": 2, "lr_patch": 12, "lr": 0.0005, "lr_end": 6.25e-06, "schedule": "constant", "warmup_steps": 0, "ema": 0.999, "clip_norm": 0.0, "precision": "fp32", "loss": "l1", "fft_weight": 0.05, "optimizer": "adam", "beta2": 0.999, "weight_decay": 0.0, "drop_every": 200000, "drop_factor": 0.5, "distil": "none", "distil_weight": null, "distil_points": 4, "distil_dim": 128, "quantise_bits": 0, "adversarial": "none", "adversarial_weight": 0.6, "feature_weight": 1.0, "tv_weight": 2e-08, "pixel_weight": 0.0, "group_lasso": 0.0}','folder:images','1ea6406018653d9c','y_float',3.92391919274428957464e+01,9.93509906676526721724e-01,'2026-11-30 04:09:49.995227');
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
	CONSTRAINT ck_retrain_request_state CHECK (state IN ('waiting', 'taken', 'done', 'withdrawn', 'failed')), 
	CONSTRAINT ck_retrain_request_finished_at_when_over CHECK ((state IN ('waiting', 'taken')) = (finished_at IS NULL)), 
	CONSTRAINT ck_retrain_request_owner_when_taken CHECK ((state = 'taken') = (owner IS NOT NULL)), 
	CONSTRAINT ck_retrain_request_reason_when_failed CHECK ((state = 'failed') = (reason IS NOT NULL)), 
	CONSTRAINT ck_retrain_request_taken_at_when_taken CHECK (CASE WHEN taken_at IS NULL THEN state IN ('waiting', 'withdrawn') ELSE state <> 'waiting' END), 
	CONSTRAINT fk_retrain_request_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT fk_retrain_request_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
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
	CONSTRAINT ck_runtime_precision CHECK (precision IN ('fp32', 'tf32', 'bf16', 'fp16', 'int8')), 
	CONSTRAINT ck_runtime_engine CHECK (engine IN ('eager', 'compiled', 'onnxruntime')), 
	CONSTRAINT ck_runtime_sizes CHECK (scale > 0 AND height > 0 AND width > 0 AND batch > 0 AND threads >= 0), 
	CONSTRAINT ck_runtime_times CHECK (p5_ms > 0 AND p5_ms <= median_ms AND median_ms <= p95_ms), 
	CONSTRAINT ck_runtime_memory CHECK (peak_memory_bytes >= 0), 
	CONSTRAINT fk_runtime_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
);
CREATE TABLE study (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	recipe JSON NOT NULL, 
	space_digest VARCHAR NOT NULL, 
	code_version VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	owner VARCHAR, 
	lease_until DATETIME, 
	CONSTRAINT pk_study PRIMARY KEY (id), 
	CONSTRAINT uq_study_name UNIQUE (name)
);
INSERT INTO "study" VALUES(1,'before-folding','{"scale": 2, "data": "folder:images", "metric": "y_float", "trials": 8, "seed": 4, "sampler": "tpe", "objectives": ["psnr_db", "multi_adds"], "rungs": [], "seeds_for_front": 2, "hours": null, "target_hypervolume": null, "seed_published": false, "warm_start": null, "executor": "inline", "workers": 1, "device": "cpu", "time_limit_seconds": null, "ray_address": null, "gpus_per_worker": null, "space": {"name": "lightweight", "only": {"width": [16, 24], "blocks": [1, 2], "block": ["residual", "rlfb", "acdm"], "attention": ["none"], "kernel": ["3x3", "asymmetric"], "sharing": ["none"], "aggregation": ["plain"], "transformers": [0], "skip": ["bicubic"], "depth": [1, 2], "share": [0.5]}}, "budget": {"params": 14500, "multi_adds": 3300000000, "conv_multi_adds": null, "min_params": null, "min_multi_adds": null, "memory": null, "latency_ms": null}, "proxy": {"plan": "short", "steps": 3, "batch": 2, "lr_patch": 12, "lr": 0.0005, "schedule": "constant", "ema": 0.999}, "retrain": {"plan": "longer", "steps": 4, "batch": 2, "lr_patch": 12, "lr": 0.002, "lr_end": 1e-06}}','e5eecf7f3d3cc2f4','0.1.0','2026-11-30 04:09:49.982267',NULL,NULL);
INSERT INTO "study" VALUES(2,'plain','{"scale": 2, "data": "folder:images", "metric": "y_float", "trials": 3, "seed": 2, "sampler": "random", "objectives": ["psnr_db", "multi_adds"], "rungs": [], "seeds_for_front": 1, "hours": null, "target_hypervolume": null, "seed_published": false, "warm_start": null, "executor": "inline", "workers": 1, "device": "cpu", "time_limit_seconds": null, "ray_address": null, "gpus_per_worker": null, "space": {"name": "lightweight", "only": {"width": [16, 24], "blocks": [1, 2], "block": ["residual"], "attention": ["none", "esa"], "kernel": ["3x3"], "sharing": ["none"], "aggregation": ["plain", "dense"], "transformers": [0], "skip": ["bicubic"]}}, "budget": {"params": 20000, "multi_adds": 4000000000, "conv_multi_adds": null, "min_params": null, "min_multi_adds": null, "memory": null, "latency_ms": null}, "proxy": {"plan": "short", "steps": 3, "batch": 2, "lr_patch": 12, "lr": 0.0005, "schedule": "constant", "ema": 0.999}, "retrain": {"plan": "longer", "steps": 4, "batch": 2, "lr_patch": 12, "lr": 0.002, "lr_end": 1e-06}}','1e6c189c14708c8e','0.1.0','2026-11-30 04:09:52.706212',NULL,NULL);
CREATE TABLE trial (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	stage VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	genotype_id VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	rung INTEGER DEFAULT '0' NOT NULL, 
	protocol_id VARCHAR, 
	state VARCHAR NOT NULL, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	owner VARCHAR, 
	lease_until DATETIME, 
	worker VARCHAR, 
	excess JSON NOT NULL, 
	measured JSON, 
	evaluation_id INTEGER, 
	failure VARCHAR, 
	reason VARCHAR, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_trial PRIMARY KEY (id), 
	CONSTRAINT uq_trial_study_id_stage_number UNIQUE (study_id, stage, number), 
	CONSTRAINT fk_trial_genotype_id_scale FOREIGN KEY(genotype_id, scale) REFERENCES cost (genotype_id, scale), 
	CONSTRAINT ck_trial_stage CHECK (stage IN ('search', 'seeds', 'retrain')), 
	CONSTRAINT ck_trial_state CHECK (state IN ('waiting', 'running', 'finished', 'rejected', 'repeated', 'failed')), 
	CONSTRAINT ck_trial_evaluation_when_done CHECK ((state IN ('finished', 'repeated')) = (evaluation_id IS NOT NULL)), 
	CONSTRAINT ck_trial_finished_at_when_done CHECK ((state IN ('waiting', 'running')) = (finished_at IS NULL)), 
	CONSTRAINT ck_trial_lease_when_running CHECK ((state = 'running') = (lease_until IS NOT NULL)), 
	CONSTRAINT ck_trial_owner_when_taken CHECK (CASE WHEN owner IS NULL THEN state <> 'running' ELSE state IN ('running', 'finished', 'repeated', 'failed') END), 
	CONSTRAINT ck_trial_failure_when_failed CHECK ((state = 'failed') = (failure IS NOT NULL)), 
	CONSTRAINT ck_trial_failure CHECK (failure IN ('error', 'diverged', 'out_of_memory', 'timed_out', 'worker_lost', 'given_up')), 
	CONSTRAINT ck_trial_counts CHECK (rung >= 0 AND attempt >= 0), 
	CONSTRAINT fk_trial_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT fk_trial_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT fk_trial_protocol_id FOREIGN KEY(protocol_id) REFERENCES protocol (id), 
	CONSTRAINT fk_trial_evaluation_id FOREIGN KEY(evaluation_id) REFERENCES evaluation (id)
);
INSERT INTO "trial" VALUES(1,1,'search',0,'51119bfc480a',2,4,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,1,NULL,NULL,'2026-11-30 04:09:50.645325','2026-11-30 04:09:51.947512');
INSERT INTO "trial" VALUES(2,1,'search',1,'ef41db50893c',2,4,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,2,NULL,NULL,'2026-11-30 04:09:51.959218','2026-11-30 04:09:52.011817');
INSERT INTO "trial" VALUES(3,1,'search',2,'96a17e19282a',2,4,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,3,NULL,NULL,'2026-11-30 04:09:52.022509','2026-11-30 04:09:52.067996');
INSERT INTO "trial" VALUES(4,1,'search',3,'9515f9d8a519',2,4,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,4,NULL,NULL,'2026-11-30 04:09:52.078655','2026-11-30 04:09:52.132450');
INSERT INTO "trial" VALUES(5,1,'search',4,'cb00716433ff',2,4,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,5,NULL,NULL,'2026-11-30 04:09:52.148881','2026-11-30 04:09:52.195320');
INSERT INTO "trial" VALUES(6,1,'search',5,'858405d74668',2,4,0,'c8124508e54a','rejected',0,NULL,NULL,NULL,'{"params": 0.20799999999999996, "multi_adds": 0.21651200000000004}',NULL,NULL,NULL,NULL,'2026-11-30 04:09:52.285472','2026-11-30 04:09:52.285472');
INSERT INTO "trial" VALUES(7,1,'search',6,'2e816df4fef7',2,4,0,'c8124508e54a','rejected',0,NULL,NULL,NULL,'{"params": 0.879448275862069, "multi_adds": 0.8884421818181818}',NULL,NULL,NULL,NULL,'2026-11-30 04:09:52.315820','2026-11-30 04:09:52.315820');
INSERT INTO "trial" VALUES(8,1,'search',7,'886783000281',2,4,0,'c8124508e54a','rejected',0,NULL,NULL,NULL,'{"params": 2.7868275862068965, "multi_adds": 2.353644138181818}',NULL,NULL,NULL,NULL,'2026-11-30 04:09:52.331552','2026-11-30 04:09:52.331552');
INSERT INTO "trial" VALUES(9,1,'search',8,'e0f3f4faa7a1',2,4,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,6,NULL,NULL,'2026-11-30 04:09:52.356727','2026-11-30 04:09:52.535832');
INSERT INTO "trial" VALUES(10,1,'search',9,'a99143fe5d19',2,4,0,'c8124508e54a','rejected',0,NULL,NULL,NULL,'{"params": 0.9150344827586208, "multi_adds": 0.9253061818181818}',NULL,NULL,NULL,NULL,'2026-11-30 04:09:52.618105','2026-11-30 04:09:52.618105');
INSERT INTO "trial" VALUES(11,1,'search',10,'21b9d78ee8ee',2,4,0,'c8124508e54a','waiting',0,NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL,'2026-11-30 04:09:52.647521',NULL);
INSERT INTO "trial" VALUES(12,2,'search',0,'e50d8811addf',2,2,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,7,NULL,NULL,'2026-11-30 04:09:52.740764','2026-11-30 04:09:52.800813');
INSERT INTO "trial" VALUES(13,2,'search',1,'7c98e8617c27',2,2,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,8,NULL,NULL,'2026-11-30 04:09:52.812710','2026-11-30 04:09:52.856057');
INSERT INTO "trial" VALUES(14,2,'search',2,'e80ddd7f31b4',2,2,0,'c8124508e54a','finished',1,'vm:26917:1f0ee9-4061864',NULL,'vm:26917','{}',NULL,9,NULL,NULL,'2026-11-30 04:09:52.865825','2026-11-30 04:09:52.950519');
CREATE INDEX ix_measurement_genotype_id ON measurement (genotype_id);
CREATE INDEX ix_runtime_genotype_id ON runtime (genotype_id);
CREATE INDEX ix_retrain_request_study_id_state_id ON retrain_request (study_id, state, id);
CREATE UNIQUE INDEX uq_retrain_request_open ON retrain_request (study_id, genotype_id, "plan") WHERE state IN ('waiting', 'taken');
CREATE INDEX ix_trial_evaluation_id ON trial (evaluation_id);
CREATE INDEX ix_trial_study_id_state_id ON trial (study_id, state, id);
CREATE INDEX ix_event_study_id_id ON event (study_id, id);
CREATE INDEX ix_event_trial_id ON event (trial_id);
COMMIT;
