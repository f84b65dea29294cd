BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE cost (
	genotype_id VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	params BIGINT NOT NULL, 
	multi_adds BIGINT NOT NULL, 
	conv_multi_adds BIGINT NOT NULL, 
	activations BIGINT NOT NULL, parts JSON, form VARCHAR DEFAULT 'training' NOT NULL CONSTRAINT ck_cost_form CHECK (form IN ('training', 'use')), 
	CONSTRAINT pk_cost PRIMARY KEY (genotype_id, scale), 
	CONSTRAINT fk_cost_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
);
INSERT INTO "cost" VALUES('00000000',4,127416,7339161600,6498216000,38224800,NULL,'use');
INSERT INTO "cost" VALUES('1eef0001',4,13369,770054400,681819000,4010700,NULL,'use');
INSERT INTO "cost" VALUES('3dde0002',4,7610,438336000,388110000,2283000,NULL,'use');
INSERT INTO "cost" VALUES('5ccd0003',4,18555,1068768000,946305000,5566500,NULL,'use');
INSERT INTO "cost" VALUES('7bbc0004',4,23740,1367424000,1210740000,7122000,NULL,'use');
INSERT INTO "cost" VALUES('9aab0005',4,150461,8666553600,7673511000,45138300,NULL,'use');
INSERT INTO "cost" VALUES('b99a0006',4,76734,4419878400,3913434000,23020200,NULL,'use');
INSERT INTO "cost" VALUES('d8890007',4,30655,1765728000,1563405000,9196500,NULL,'use');
INSERT INTO "cost" VALUES('f7780008',4,23744,1367654400,1210944000,7123200,NULL,'use');
INSERT INTO "cost" VALUES('16670009',4,85953,4950892800,4383603000,25785900,NULL,'use');
INSERT INTO "cost" VALUES('3556000a',4,76738,4420108800,3913638000,23021400,NULL,'use');
INSERT INTO "cost" VALUES('5445000b',4,127427,7339795200,6498777000,38228100,NULL,'use');
INSERT INTO "cost" VALUES('7334000c',4,85956,4951065600,4383756000,25786800,NULL,'use');
INSERT INTO "cost" VALUES('9223000d',4,39877,2296915200,2033727000,11963100,NULL,'use');
INSERT INTO "cost" VALUES('b112000e',4,9926,571737600,506226000,2977800,NULL,'use');
INSERT INTO "cost" VALUES('d001000f',4,13383,770860800,682533000,4014900,NULL,'use');
INSERT INTO "cost" VALUES('eef00010',4,58312,3358771200,2973912000,17493600,NULL,'use');
INSERT INTO "cost" VALUES('0ddf0011',4,224201,12913977600,11434251000,67260300,NULL,'use');
INSERT INTO "cost" VALUES('2cce0012',4,13386,771033600,682686000,4015800,NULL,'use');
INSERT INTO "cost" VALUES('3225002b',4,12259,706118400,625209000,3677700,NULL,'use');
INSERT INTO "cost" VALUES('d5580028',4,44512,2563891200,2270112000,13353600,NULL,'use');
INSERT INTO "cost" VALUES('f4470029',4,85985,4952736000,4385235000,25795500,NULL,'use');
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
INSERT INTO "evaluation" VALUES(1,'00000000','proxy-81c2e0',0,29.4898831687209,8.42696495061627137701e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/0.safetensors','[[0, 0.5, null], [2000, 0.02, 29.4898831687209]]','{"astronaut": [29.4898831687209, 0.82]}','2026-11-21 10:48:33.158256',NULL);
INSERT INTO "evaluation" VALUES(2,'1eef0001','proxy-81c2e0',0,2.92311879620450838501e+01,8.34935638861352580342e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/1.safetensors','[[0, 0.5, null], [2000, 0.02, 29.231187962045084]]','{"astronaut": [29.231187962045084, 0.82]}','2026-11-21 10:48:33.163801',NULL);
INSERT INTO "evaluation" VALUES(3,'3dde0002','proxy-81c2e0',0,2.89660612729326842895e+01,8.26981838187980655696e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/2.safetensors','[[0, 0.5, null], [2000, 0.02, 28.966061272932684]]','{"astronaut": [28.966061272932684, 0.82]}','2026-11-21 10:48:33.167717',NULL);
INSERT INTO "evaluation" VALUES(4,'5ccd0003','proxy-81c2e0',0,2.90972298111231282291e+01,0.830916894333694,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/3.safetensors','[[0, 0.5, null], [2000, 0.02, 29.09722981112313]]','{"astronaut": [29.09722981112313, 0.82]}','2026-11-21 10:48:33.171383',NULL);
INSERT INTO "evaluation" VALUES(5,'7bbc0004','proxy-81c2e0',0,2.90371109100180468942e+01,8.2911332730054154716e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/4.safetensors','[[0, 0.5, null], [2000, 0.02, 29.037110910018047]]','{"astronaut": [29.037110910018047, 0.82]}','2026-11-21 10:48:33.175073',NULL);
INSERT INTO "evaluation" VALUES(6,'9aab0005','proxy-81c2e0',0,2.94520724278222907344e+01,8.41562172834668831278e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/5.safetensors','[[0, 0.5, null], [2000, 0.02, 29.45207242782229]]','{"astronaut": [29.45207242782229, 0.82]}','2026-11-21 10:48:33.178689',NULL);
INSERT INTO "evaluation" VALUES(7,'b99a0006','proxy-81c2e0',0,2.92892753201368449822e+01,8.36678259604105467595e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/6.safetensors','[[0, 0.5, null], [2000, 0.02, 29.289275320136845]]','{"astronaut": [29.289275320136845, 0.82]}','2026-11-21 10:48:33.182249',NULL);
INSERT INTO "evaluation" VALUES(8,'d8890007','proxy-81c2e0',0,2.92001486757320556364e+01,8.3400446027196173393e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/7.safetensors','[[0, 0.5, null], [2000, 0.02, 29.200148675732056]]','{"astronaut": [29.200148675732056, 0.82]}','2026-11-21 10:48:33.185862',NULL);
INSERT INTO "evaluation" VALUES(9,'f7780008','proxy-81c2e0',0,2.90561833085373457654e+01,8.2968549925612045115e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/8.safetensors','[[0, 0.5, null], [2000, 0.02, 29.056183308537346]]','{"astronaut": [29.056183308537346, 0.82]}','2026-11-21 10:48:33.189370',NULL);
INSERT INTO "evaluation" VALUES(10,'16670009','proxy-81c2e0',0,2.92506940031376494459e+01,8.35520820094129534894e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/9.safetensors','[[0, 0.5, null], [2000, 0.02, 29.25069400313765]]','{"astronaut": [29.25069400313765, 0.82]}','2026-11-21 10:48:33.192838',NULL);
INSERT INTO "evaluation" VALUES(11,'3556000a','proxy-81c2e0',0,2.92118278525848893431e+01,8.34354835577546749547e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/10.safetensors','[[0, 0.5, null], [2000, 0.02, 29.21182785258489]]','{"astronaut": [29.21182785258489, 0.82]}','2026-11-21 10:48:33.196343',NULL);
INSERT INTO "evaluation" VALUES(12,'5445000b','proxy-81c2e0',0,2.92712264953687331106e+01,8.36136794861062071504e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/11.safetensors','[[0, 0.5, null], [2000, 0.02, 29.271226495368733]]','{"astronaut": [29.271226495368733, 0.82]}','2026-11-21 10:48:33.201337',NULL);
INSERT INTO "evaluation" VALUES(13,'7334000c','proxy-81c2e0',0,2.93201151501246251021e+01,8.37603454503738853453e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/12.safetensors','[[0, 0.5, null], [2000, 0.02, 29.320115150124625]]','{"astronaut": [29.320115150124625, 0.82]}','2026-11-21 10:48:33.204838',NULL);
INSERT INTO "evaluation" VALUES(14,'9223000d','proxy-81c2e0',0,2.93078112622996300729e+01,0.837234337868989,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/13.safetensors','[[0, 0.5, null], [2000, 0.02, 29.30781126229963]]','{"astronaut": [29.30781126229963, 0.82]}','2026-11-21 10:48:33.208276',NULL);
INSERT INTO "evaluation" VALUES(15,'b112000e','proxy-81c2e0',0,2.90108297766267213546e+01,8.28324893298801767649e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/14.safetensors','[[0, 0.5, null], [2000, 0.02, 29.01082977662672]]','{"astronaut": [29.01082977662672, 0.82]}','2026-11-21 10:48:33.211748',NULL);
INSERT INTO "evaluation" VALUES(16,'d001000f','proxy-81c2e0',0,2.89852628675674495184e+01,8.27557886027023625885e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/15.safetensors','[[0, 0.5, null], [2000, 0.02, 28.98526286756745]]','{"astronaut": [28.98526286756745, 0.82]}','2026-11-21 10:48:33.215308',NULL);
INSERT INTO "evaluation" VALUES(17,'0ddf0011','proxy-81c2e0',0,2.95220061980984311844e+01,0.843660185942953,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/17.safetensors','[[0, 0.5, null], [2000, 0.02, 29.52200619809843]]','{"astronaut": [29.52200619809843, 0.82]}','2026-11-21 10:48:33.222071',NULL);
INSERT INTO "evaluation" VALUES(18,'2cce0012','proxy-81c2e0',0,2.89823307599801403009e+01,8.27469922799404344893e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/18.safetensors','[[0, 0.5, null], [2000, 0.02, 28.98233075998014]]','{"astronaut": [28.98233075998014, 0.82]}','2026-11-21 10:48:33.225582',NULL);
INSERT INTO "evaluation" VALUES(19,'0ddf0011','full-81c2e0',0,3.11220061980984326051e+01,0.843660185942953,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/17.safetensors','[[0, 0.5, null], [2000, 0.02, 29.52200619809843]]','{"astronaut": [29.52200619809843, 0.82]}','2026-11-21 10:48:33.229112',NULL);
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
INSERT INTO "event" VALUES(1,1,1,'proposed','2026-11-21 10:48:33.149201',NULL,NULL,'{}');
INSERT INTO "event" VALUES(2,1,1,'started','2026-11-21 10:48:33.149201','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(3,1,1,'finished','2026-11-21 10:48:33.158256','somewhere:1','NVIDIA H200','{"psnr_db": 29.4898831687209, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(4,1,2,'proposed','2026-11-21 10:48:33.161532',NULL,NULL,'{}');
INSERT INTO "event" VALUES(5,1,2,'started','2026-11-21 10:48:33.161532','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(6,1,2,'finished','2026-11-21 10:48:33.163801','somewhere:1','NVIDIA H200','{"psnr_db": 29.231187962045084, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(7,1,3,'proposed','2026-11-21 10:48:33.165763',NULL,NULL,'{}');
INSERT INTO "event" VALUES(8,1,3,'started','2026-11-21 10:48:33.165763','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(9,1,3,'finished','2026-11-21 10:48:33.167717','somewhere:1','NVIDIA H200','{"psnr_db": 28.966061272932684, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(10,1,4,'proposed','2026-11-21 10:48:33.169520',NULL,NULL,'{}');
INSERT INTO "event" VALUES(11,1,4,'started','2026-11-21 10:48:33.169520','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(12,1,4,'finished','2026-11-21 10:48:33.171383','somewhere:1','NVIDIA H200','{"psnr_db": 29.09722981112313, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(13,1,5,'proposed','2026-11-21 10:48:33.173176',NULL,NULL,'{}');
INSERT INTO "event" VALUES(14,1,5,'started','2026-11-21 10:48:33.173176','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(15,1,5,'finished','2026-11-21 10:48:33.175073','somewhere:1','NVIDIA H200','{"psnr_db": 29.037110910018047, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(16,1,6,'proposed','2026-11-21 10:48:33.176838',NULL,NULL,'{}');
INSERT INTO "event" VALUES(17,1,6,'started','2026-11-21 10:48:33.176838','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(18,1,6,'finished','2026-11-21 10:48:33.178689','somewhere:1','NVIDIA H200','{"psnr_db": 29.45207242782229, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(19,1,7,'proposed','2026-11-21 10:48:33.180376',NULL,NULL,'{}');
INSERT INTO "event" VALUES(20,1,7,'started','2026-11-21 10:48:33.180376','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(21,1,7,'finished','2026-11-21 10:48:33.182249','somewhere:1','NVIDIA H200','{"psnr_db": 29.289275320136845, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(22,1,8,'proposed','2026-11-21 10:48:33.183931',NULL,NULL,'{}');
INSERT INTO "event" VALUES(23,1,8,'started','2026-11-21 10:48:33.183931','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(24,1,8,'finished','2026-11-21 10:48:33.185862','somewhere:1','NVIDIA H200','{"psnr_db": 29.200148675732056, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(25,1,9,'proposed','2026-11-21 10:48:33.187525',NULL,NULL,'{}');
INSERT INTO "event" VALUES(26,1,9,'started','2026-11-21 10:48:33.187525','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(27,1,9,'finished','2026-11-21 10:48:33.189370','somewhere:1','NVIDIA H200','{"psnr_db": 29.056183308537346, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(28,1,10,'proposed','2026-11-21 10:48:33.191024',NULL,NULL,'{}');
INSERT INTO "event" VALUES(29,1,10,'started','2026-11-21 10:48:33.191024','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(30,1,10,'finished','2026-11-21 10:48:33.192838','somewhere:1','NVIDIA H200','{"psnr_db": 29.25069400313765, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(31,1,11,'proposed','2026-11-21 10:48:33.194487',NULL,NULL,'{}');
INSERT INTO "event" VALUES(32,1,11,'started','2026-11-21 10:48:33.194487','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(33,1,11,'finished','2026-11-21 10:48:33.196343','somewhere:1','NVIDIA H200','{"psnr_db": 29.21182785258489, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(34,1,12,'repeated','2026-11-21 10:48:33.197761',NULL,NULL,'{}');
INSERT INTO "event" VALUES(35,1,13,'proposed','2026-11-21 10:48:33.199533',NULL,NULL,'{}');
INSERT INTO "event" VALUES(36,1,13,'started','2026-11-21 10:48:33.199533','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(37,1,13,'finished','2026-11-21 10:48:33.201337','somewhere:1','NVIDIA H200','{"psnr_db": 29.271226495368733, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(38,1,14,'proposed','2026-11-21 10:48:33.202967',NULL,NULL,'{}');
INSERT INTO "event" VALUES(39,1,14,'started','2026-11-21 10:48:33.202967','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(40,1,14,'finished','2026-11-21 10:48:33.204838','somewhere:1','NVIDIA H200','{"psnr_db": 29.320115150124625, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(41,1,15,'proposed','2026-11-21 10:48:33.206522',NULL,NULL,'{}');
INSERT INTO "event" VALUES(42,1,15,'started','2026-11-21 10:48:33.206522','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(43,1,15,'finished','2026-11-21 10:48:33.208276','somewhere:1','NVIDIA H200','{"psnr_db": 29.30781126229963, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(44,1,16,'proposed','2026-11-21 10:48:33.209992',NULL,NULL,'{}');
INSERT INTO "event" VALUES(45,1,16,'started','2026-11-21 10:48:33.209992','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(46,1,16,'finished','2026-11-21 10:48:33.211748','somewhere:1','NVIDIA H200','{"psnr_db": 29.01082977662672, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(47,1,17,'proposed','2026-11-21 10:48:33.213466',NULL,NULL,'{}');
INSERT INTO "event" VALUES(48,1,17,'started','2026-11-21 10:48:33.213466','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(49,1,17,'finished','2026-11-21 10:48:33.215308','somewhere:1','NVIDIA H200','{"psnr_db": 28.98526286756745, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(50,1,18,'proposed','2026-11-21 10:48:33.217072',NULL,NULL,'{}');
INSERT INTO "event" VALUES(51,1,18,'started','2026-11-21 10:48:33.217072','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(52,1,18,'failed','2026-11-21 10:48:33.218825','somewhere:1',NULL,'{"failure": "out_of_memory", "reason": "out of memory", "attempt": 1}');
INSERT INTO "event" VALUES(53,1,19,'proposed','2026-11-21 10:48:33.220228',NULL,NULL,'{}');
INSERT INTO "event" VALUES(54,1,19,'started','2026-11-21 10:48:33.220228','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(55,1,19,'finished','2026-11-21 10:48:33.222071','somewhere:1','NVIDIA H200','{"psnr_db": 29.52200619809843, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(56,1,20,'proposed','2026-11-21 10:48:33.223739',NULL,NULL,'{}');
INSERT INTO "event" VALUES(57,1,20,'started','2026-11-21 10:48:33.223739','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(58,1,20,'finished','2026-11-21 10:48:33.225582','somewhere:1','NVIDIA H200','{"psnr_db": 28.98233075998014, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(59,1,21,'proposed','2026-11-21 10:48:33.227544',NULL,NULL,'{}');
INSERT INTO "event" VALUES(60,1,21,'started','2026-11-21 10:48:33.227544','somewhere:1',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(61,1,21,'finished','2026-11-21 10:48:33.229112','somewhere:1','NVIDIA H200','{"psnr_db": 31.122006198098433, "train_seconds": 41.5, "attempt": 1}');
INSERT INTO "event" VALUES(62,1,NULL,'search_started','2026-11-21 10:48:33.230468','somewhere:1',NULL,'{}');
INSERT INTO "event" VALUES(63,1,22,'rejected','2026-11-21 10:48:33.231599',NULL,NULL,'{"excess": {"params": 0.25}}');
INSERT INTO "event" VALUES(64,1,23,'proposed','2026-11-21 10:48:33.233423',NULL,NULL,'{}');
INSERT INTO "event" VALUES(65,1,24,'proposed','2026-11-21 10:48:33.235202',NULL,NULL,'{}');
INSERT INTO "event" VALUES(66,1,25,'proposed','2026-11-21 10:48:33.236966',NULL,NULL,'{}');
INSERT INTO "event" VALUES(67,1,25,'started','2026-11-21 10:48:33.236966','elsewhere:7',NULL,'{"attempt": 1}');
INSERT INTO "event" VALUES(68,1,1,'rung','2026-11-21 10:48:33.238199',NULL,NULL,'{"to": 1}');
CREATE TABLE genotype (
	id VARCHAR NOT NULL, 
	space VARCHAR NOT NULL, 
	choices JSON NOT NULL, name VARCHAR, 
	CONSTRAINT pk_genotype PRIMARY KEY (id)
);
INSERT INTO "genotype" VALUES('00000000','lightweight','{"block": "imdb", "blocks": 6, "width": 48, "attention": "cca", "kernel": "1x3_3x1", "share": false}',NULL);
INSERT INTO "genotype" VALUES('1eef0001','lightweight','{"block": "rfdb", "blocks": 2, "width": 24, "attention": "esa", "kernel": "1x3_3x1", "share": false}',NULL);
INSERT INTO "genotype" VALUES('3dde0002','lightweight','{"block": "imdb", "blocks": 2, "width": 16, "attention": "cca", "kernel": "3x3", "share": false}',NULL);
INSERT INTO "genotype" VALUES('5ccd0003','lightweight','{"block": "rfdb", "blocks": 3, "width": 24, "attention": "none", "kernel": "1x3_3x1", "share": false}',NULL);
INSERT INTO "genotype" VALUES('7bbc0004','lightweight','{"block": "imdb", "blocks": 4, "width": 24, "attention": "none", "kernel": "1x3_3x1", "share": false}',NULL);
INSERT INTO "genotype" VALUES('9aab0005','lightweight','{"block": "lattice", "blocks": 4, "width": 64, "attention": "cca", "kernel": "3x3", "share": false}',NULL);
INSERT INTO "genotype" VALUES('b99a0006','lightweight','{"block": "rfdb", "blocks": 2, "width": 64, "attention": "cca", "kernel": "3x3", "share": true}',NULL);
INSERT INTO "genotype" VALUES('d8890007','lightweight','{"block": "rfdb", "blocks": 3, "width": 32, "attention": "none", "kernel": "3x3", "share": true}',NULL);
INSERT INTO "genotype" VALUES('f7780008','lightweight','{"block": "rfdb", "blocks": 4, "width": 24, "attention": "esa", "kernel": "3x3", "share": false}',NULL);
INSERT INTO "genotype" VALUES('16670009','lightweight','{"block": "rfdb", "blocks": 4, "width": 48, "attention": "esa", "kernel": "3x3", "share": false}',NULL);
INSERT INTO "genotype" VALUES('3556000a','lightweight','{"block": "rfdb", "blocks": 2, "width": 64, "attention": "cca", "kernel": "3x3", "share": true}',NULL);
INSERT INTO "genotype" VALUES('5445000b','lightweight','{"block": "rfdb", "blocks": 6, "width": 48, "attention": "none", "kernel": "3x3", "share": true}',NULL);
INSERT INTO "genotype" VALUES('7334000c','lightweight','{"block": "lattice", "blocks": 4, "width": 48, "attention": "none", "kernel": "1x3_3x1", "share": true}',NULL);
INSERT INTO "genotype" VALUES('9223000d','lightweight','{"block": "lattice", "blocks": 4, "width": 32, "attention": "none", "kernel": "3x3", "share": false}',NULL);
INSERT INTO "genotype" VALUES('b112000e','lightweight','{"block": "rfdb", "blocks": 3, "width": 16, "attention": "none", "kernel": "1x3_3x1", "share": true}',NULL);
INSERT INTO "genotype" VALUES('d001000f','lightweight','{"block": "lattice", "blocks": 2, "width": 24, "attention": "none", "kernel": "3x3", "share": true}',NULL);
INSERT INTO "genotype" VALUES('eef00010','lightweight','{"block": "rfdb", "blocks": 6, "width": 32, "attention": "cca", "kernel": "1x3_3x1", "share": true}',NULL);
INSERT INTO "genotype" VALUES('0ddf0011','lightweight','{"block": "rfdb", "blocks": 6, "width": 64, "attention": "cca", "kernel": "1x3_3x1", "share": true}',NULL);
INSERT INTO "genotype" VALUES('2cce0012','lightweight','{"block": "lattice", "blocks": 2, "width": 24, "attention": "cca", "kernel": "1x3_3x1", "share": true}',NULL);
INSERT INTO "genotype" VALUES('3225002b','lightweight','{"block": "lattice", "blocks": 4, "width": 16, "attention": "esa", "kernel": "1x3_3x1", "share": false}',NULL);
INSERT INTO "genotype" VALUES('d5580028','lightweight','{"block": "imdb", "blocks": 2, "width": 48, "attention": "cca", "kernel": "3x3", "share": true}',NULL);
INSERT INTO "genotype" VALUES('f4470029','lightweight','{"block": "imdb", "blocks": 4, "width": 48, "attention": "esa", "kernel": "1x3_3x1", "share": false}',NULL);
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
INSERT INTO "measurement" VALUES(1,'bicubic',NULL,'',4,'Set5','77aa','made','y_float',28.42,NULL,'{"baby": [31.0, 0.88]}',1.5,'cpu','2.9.0','0.1.0','2026-11-21 10:48:33.238452',NULL);
INSERT INTO "measurement" VALUES(2,'00000000','00000000','0123456789abcdef',4,'Set5','77aa','made','y_float',31.9,0.89,'{"baby": [31.0, 0.88]}',1.5,'cpu','2.9.0','0.1.0','2026-11-21 10:48:33.240394',NULL);
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
INSERT INTO "protocol" VALUES('proxy-81c2e0',4,'proxy','{"steps": 2000, "batch": 16, "patch": 48}','photographs','9f0c','y_float',28.42,0.8104,'2026-11-21 10:48:33.144310');
INSERT INTO "protocol" VALUES('full-81c2e0',4,'full','{"steps": 2000, "batch": 16, "patch": 48}','photographs','9f0c','y_float',28.42,0.8104,'2026-11-21 10:48:33.226773');
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
INSERT INTO "study" VALUES(1,'demo','{"scale": 4, "budget": {"params": 300000, "multi_adds": 15000000000}, "search": {"trials": 60, "workers": 1}}','5d1f','0.1.0','2026-11-21 10:48:33.137527','somewhere:1','2026-11-21 10:49:33.230468');
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
	CONSTRAINT fk_trial_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT uq_trial_study_id_stage_number UNIQUE (study_id, stage, number), 
	CONSTRAINT fk_trial_protocol_id FOREIGN KEY(protocol_id) REFERENCES protocol (id), 
	CONSTRAINT fk_trial_evaluation_id FOREIGN KEY(evaluation_id) REFERENCES evaluation (id), 
	CONSTRAINT fk_trial_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
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
INSERT INTO "trial" VALUES(1,1,'search',0,'00000000',4,0,'finished','{}',1,NULL,'2026-11-21 10:48:33.149201','2026-11-21 10:48:33.158256',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(2,1,'search',1,'1eef0001',4,0,'finished','{}',2,NULL,'2026-11-21 10:48:33.161532','2026-11-21 10:48:33.163801',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(3,1,'search',2,'3dde0002',4,0,'finished','{}',3,NULL,'2026-11-21 10:48:33.165763','2026-11-21 10:48:33.167717',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(4,1,'search',3,'5ccd0003',4,0,'finished','{}',4,NULL,'2026-11-21 10:48:33.169520','2026-11-21 10:48:33.171383',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(5,1,'search',4,'7bbc0004',4,0,'finished','{}',5,NULL,'2026-11-21 10:48:33.173176','2026-11-21 10:48:33.175073',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(6,1,'search',5,'9aab0005',4,0,'finished','{}',6,NULL,'2026-11-21 10:48:33.176838','2026-11-21 10:48:33.178689',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(7,1,'search',6,'b99a0006',4,0,'finished','{}',7,NULL,'2026-11-21 10:48:33.180376','2026-11-21 10:48:33.182249',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(8,1,'search',7,'d8890007',4,0,'finished','{}',8,NULL,'2026-11-21 10:48:33.183931','2026-11-21 10:48:33.185862',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(9,1,'search',8,'f7780008',4,0,'finished','{}',9,NULL,'2026-11-21 10:48:33.187525','2026-11-21 10:48:33.189370',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(10,1,'search',9,'16670009',4,0,'finished','{}',10,NULL,'2026-11-21 10:48:33.191024','2026-11-21 10:48:33.192838',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(11,1,'search',10,'3556000a',4,0,'finished','{}',11,NULL,'2026-11-21 10:48:33.194487','2026-11-21 10:48:33.196343',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(12,1,'search',11,'3556000a',4,0,'repeated','{}',11,NULL,'2026-11-21 10:48:33.197761','2026-11-21 10:48:33.197761',0,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "trial" VALUES(13,1,'search',12,'5445000b',4,0,'finished','{}',12,NULL,'2026-11-21 10:48:33.199533','2026-11-21 10:48:33.201337',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(14,1,'search',13,'7334000c',4,0,'finished','{}',13,NULL,'2026-11-21 10:48:33.202967','2026-11-21 10:48:33.204838',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(15,1,'search',14,'9223000d',4,0,'finished','{}',14,NULL,'2026-11-21 10:48:33.206522','2026-11-21 10:48:33.208276',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(16,1,'search',15,'b112000e',4,0,'finished','{}',15,NULL,'2026-11-21 10:48:33.209992','2026-11-21 10:48:33.211748',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(17,1,'search',16,'d001000f',4,0,'finished','{}',16,NULL,'2026-11-21 10:48:33.213466','2026-11-21 10:48:33.215308',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(18,1,'search',17,'eef00010',4,0,'failed','{}',NULL,'out of memory','2026-11-21 10:48:33.217072','2026-11-21 10:48:33.218825',0,NULL,1,'somewhere:1',NULL,'somewhere:1','out_of_memory',NULL);
INSERT INTO "trial" VALUES(19,1,'search',18,'0ddf0011',4,0,'finished','{}',17,NULL,'2026-11-21 10:48:33.220228','2026-11-21 10:48:33.222071',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(20,1,'search',19,'2cce0012',4,0,'finished','{}',18,NULL,'2026-11-21 10:48:33.223739','2026-11-21 10:48:33.225582',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(21,1,'retrain',0,'0ddf0011',4,0,'finished','{}',19,NULL,'2026-11-21 10:48:33.227544','2026-11-21 10:48:33.229112',0,NULL,1,'somewhere:1',NULL,'somewhere:1',NULL,NULL);
INSERT INTO "trial" VALUES(22,1,'search',20,'3225002b',4,0,'rejected','{"params": 0.25}',NULL,NULL,'2026-11-21 10:48:33.231599','2026-11-21 10:48:33.231599',0,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "trial" VALUES(23,1,'search',21,'d5580028',4,0,'waiting','{}',NULL,NULL,'2026-11-21 10:48:33.233423',NULL,1,'proxy-81c2e0',0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "trial" VALUES(24,1,'retrain',1,'f4470029',4,0,'waiting','{}',NULL,NULL,'2026-11-21 10:48:33.235202',NULL,0,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "trial" VALUES(25,1,'seeds',0,'9aab0005',4,1,'running','{}',NULL,NULL,'2026-11-21 10:48:33.236966',NULL,0,NULL,1,'elsewhere:7','2036-11-18 10:48:33.236966',NULL,NULL,NULL);
CREATE INDEX ix_trial_evaluation_id ON trial (evaluation_id);
CREATE INDEX ix_trial_study_id_state_id ON trial (study_id, state, id);
CREATE INDEX ix_event_study_id_id ON event (study_id, id);
CREATE INDEX ix_event_trial_id ON event (trial_id);
CREATE INDEX ix_measurement_genotype_id ON measurement (genotype_id);
CREATE INDEX ix_runtime_genotype_id ON runtime (genotype_id);
CREATE UNIQUE INDEX uq_retrain_request_open ON retrain_request (study_id, genotype_id, "plan") WHERE state IN ('waiting', 'taken');
CREATE INDEX ix_retrain_request_study_id_state_id ON retrain_request (study_id, state, id);
CREATE INDEX ix_cost_to_recount ON cost (genotype_id) WHERE form = 'training';
COMMIT;
