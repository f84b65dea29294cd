BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE cost (
	genotype_id VARCHAR NOT NULL, 
	scale INTEGER NOT NULL, 
	params BIGINT NOT NULL, 
	multi_adds BIGINT NOT NULL, 
	conv_multi_adds BIGINT NOT NULL, 
	activations BIGINT NOT NULL, 
	CONSTRAINT pk_cost PRIMARY KEY (genotype_id, scale), 
	CONSTRAINT fk_cost_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id)
);
INSERT INTO "cost" VALUES('00000000',4,127416,7339161600,6498216000,38224800);
INSERT INTO "cost" VALUES('1eef0001',4,13369,770054400,681819000,4010700);
INSERT INTO "cost" VALUES('3dde0002',4,7610,438336000,388110000,2283000);
INSERT INTO "cost" VALUES('5ccd0003',4,18555,1068768000,946305000,5566500);
INSERT INTO "cost" VALUES('7bbc0004',4,23740,1367424000,1210740000,7122000);
INSERT INTO "cost" VALUES('9aab0005',4,150461,8666553600,7673511000,45138300);
INSERT INTO "cost" VALUES('b99a0006',4,76734,4419878400,3913434000,23020200);
INSERT INTO "cost" VALUES('d8890007',4,30655,1765728000,1563405000,9196500);
INSERT INTO "cost" VALUES('f7780008',4,23744,1367654400,1210944000,7123200);
INSERT INTO "cost" VALUES('16670009',4,85953,4950892800,4383603000,25785900);
INSERT INTO "cost" VALUES('3556000a',4,76738,4420108800,3913638000,23021400);
INSERT INTO "cost" VALUES('5445000b',4,127427,7339795200,6498777000,38228100);
INSERT INTO "cost" VALUES('7334000c',4,85956,4951065600,4383756000,25786800);
INSERT INTO "cost" VALUES('9223000d',4,39877,2296915200,2033727000,11963100);
INSERT INTO "cost" VALUES('b112000e',4,9926,571737600,506226000,2977800);
INSERT INTO "cost" VALUES('d001000f',4,13383,770860800,682533000,4014900);
INSERT INTO "cost" VALUES('eef00010',4,58312,3358771200,2973912000,17493600);
INSERT INTO "cost" VALUES('0ddf0011',4,224201,12913977600,11434251000,67260300);
INSERT INTO "cost" VALUES('3225002b',4,12259,706118400,625209000,3677700);
INSERT INTO "cost" VALUES('d5580028',4,44512,2563891200,2270112000,13353600);
INSERT INTO "cost" VALUES('f4470029',4,85985,4952736000,4385235000,25795500);
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
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_evaluation PRIMARY KEY (id), 
	CONSTRAINT uq_evaluation_genotype_id_protocol_id_seed UNIQUE (genotype_id, protocol_id, seed), 
	CONSTRAINT fk_evaluation_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT fk_evaluation_protocol_id FOREIGN KEY(protocol_id) REFERENCES protocol (id)
);
INSERT INTO "evaluation" VALUES(1,'00000000','proxy-81c2e0',0,29.4898831687209,8.42696495061627137701e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/0.safetensors','[[0, 0.5, null], [2000, 0.02, 29.4898831687209]]','{"astronaut": [29.4898831687209, 0.82]}','2026-11-21 07:16:12.492112');
INSERT INTO "evaluation" VALUES(2,'1eef0001','proxy-81c2e0',0,2.92311879620450838501e+01,8.34935638861352580342e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/1.safetensors','[[0, 0.5, null], [2000, 0.02, 29.231187962045084]]','{"astronaut": [29.231187962045084, 0.82]}','2026-11-21 07:16:12.498581');
INSERT INTO "evaluation" VALUES(3,'3dde0002','proxy-81c2e0',0,2.89660612729326842895e+01,8.26981838187980655696e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/2.safetensors','[[0, 0.5, null], [2000, 0.02, 28.966061272932684]]','{"astronaut": [28.966061272932684, 0.82]}','2026-11-21 07:16:12.503241');
INSERT INTO "evaluation" VALUES(4,'5ccd0003','proxy-81c2e0',0,2.90972298111231282291e+01,0.830916894333694,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/3.safetensors','[[0, 0.5, null], [2000, 0.02, 29.09722981112313]]','{"astronaut": [29.09722981112313, 0.82]}','2026-11-21 07:16:12.507533');
INSERT INTO "evaluation" VALUES(5,'7bbc0004','proxy-81c2e0',0,2.90371109100180468942e+01,8.2911332730054154716e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/4.safetensors','[[0, 0.5, null], [2000, 0.02, 29.037110910018047]]','{"astronaut": [29.037110910018047, 0.82]}','2026-11-21 07:16:12.511864');
INSERT INTO "evaluation" VALUES(6,'9aab0005','proxy-81c2e0',0,2.94520724278222907344e+01,8.41562172834668831278e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/5.safetensors','[[0, 0.5, null], [2000, 0.02, 29.45207242782229]]','{"astronaut": [29.45207242782229, 0.82]}','2026-11-21 07:16:12.516228');
INSERT INTO "evaluation" VALUES(7,'b99a0006','proxy-81c2e0',0,2.92892753201368449822e+01,8.36678259604105467595e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/6.safetensors','[[0, 0.5, null], [2000, 0.02, 29.289275320136845]]','{"astronaut": [29.289275320136845, 0.82]}','2026-11-21 07:16:12.520498');
INSERT INTO "evaluation" VALUES(8,'d8890007','proxy-81c2e0',0,2.92001486757320556364e+01,8.3400446027196173393e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/7.safetensors','[[0, 0.5, null], [2000, 0.02, 29.200148675732056]]','{"astronaut": [29.200148675732056, 0.82]}','2026-11-21 07:16:12.524958');
INSERT INTO "evaluation" VALUES(9,'f7780008','proxy-81c2e0',0,2.90561833085373457654e+01,8.2968549925612045115e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/8.safetensors','[[0, 0.5, null], [2000, 0.02, 29.056183308537346]]','{"astronaut": [29.056183308537346, 0.82]}','2026-11-21 07:16:12.529229');
INSERT INTO "evaluation" VALUES(10,'16670009','proxy-81c2e0',0,2.92506940031376494459e+01,8.35520820094129534894e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/9.safetensors','[[0, 0.5, null], [2000, 0.02, 29.25069400313765]]','{"astronaut": [29.25069400313765, 0.82]}','2026-11-21 07:16:12.533621');
INSERT INTO "evaluation" VALUES(11,'3556000a','proxy-81c2e0',0,2.92118278525848893431e+01,8.34354835577546749547e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/10.safetensors','[[0, 0.5, null], [2000, 0.02, 29.21182785258489]]','{"astronaut": [29.21182785258489, 0.82]}','2026-11-21 07:16:12.537905');
INSERT INTO "evaluation" VALUES(12,'5445000b','proxy-81c2e0',0,2.92712264953687331106e+01,8.36136794861062071504e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/11.safetensors','[[0, 0.5, null], [2000, 0.02, 29.271226495368733]]','{"astronaut": [29.271226495368733, 0.82]}','2026-11-21 07:16:12.544989');
INSERT INTO "evaluation" VALUES(13,'7334000c','proxy-81c2e0',0,2.93201151501246251021e+01,8.37603454503738853453e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/12.safetensors','[[0, 0.5, null], [2000, 0.02, 29.320115150124625]]','{"astronaut": [29.320115150124625, 0.82]}','2026-11-21 07:16:12.549216');
INSERT INTO "evaluation" VALUES(14,'9223000d','proxy-81c2e0',0,2.93078112622996300729e+01,0.837234337868989,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/13.safetensors','[[0, 0.5, null], [2000, 0.02, 29.30781126229963]]','{"astronaut": [29.30781126229963, 0.82]}','2026-11-21 07:16:12.553521');
INSERT INTO "evaluation" VALUES(15,'b112000e','proxy-81c2e0',0,2.90108297766267213546e+01,8.28324893298801767649e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/14.safetensors','[[0, 0.5, null], [2000, 0.02, 29.01082977662672]]','{"astronaut": [29.01082977662672, 0.82]}','2026-11-21 07:16:12.557577');
INSERT INTO "evaluation" VALUES(16,'d001000f','proxy-81c2e0',0,2.89852628675674495184e+01,8.27557886027023625885e-01,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/15.safetensors','[[0, 0.5, null], [2000, 0.02, 28.98526286756745]]','{"astronaut": [28.98526286756745, 0.82]}','2026-11-21 07:16:12.561643');
INSERT INTO "evaluation" VALUES(17,'0ddf0011','proxy-81c2e0',0,2.95220061980984311844e+01,0.843660185942953,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/17.safetensors','[[0, 0.5, null], [2000, 0.02, 29.52200619809843]]','{"astronaut": [29.52200619809843, 0.82]}','2026-11-21 07:16:12.570145');
INSERT INTO "evaluation" VALUES(18,'0ddf0011','full-81c2e0',0,3.11220061980984326051e+01,0.843660185942953,41.5,'NVIDIA H200','2.9.0','0.1.0','demo/17.safetensors','[[0, 0.5, null], [2000, 0.02, 29.52200619809843]]','{"astronaut": [29.52200619809843, 0.82]}','2026-11-21 07:16:12.574500');
CREATE TABLE genotype (
	id VARCHAR NOT NULL, 
	space VARCHAR NOT NULL, 
	choices JSON NOT NULL, 
	CONSTRAINT pk_genotype PRIMARY KEY (id)
);
INSERT INTO "genotype" VALUES('00000000','lightweight','{"block": "imdb", "blocks": 6, "width": 48, "attention": "cca", "kernel": "1x3_3x1", "share": false}');
INSERT INTO "genotype" VALUES('1eef0001','lightweight','{"block": "rfdb", "blocks": 2, "width": 24, "attention": "esa", "kernel": "1x3_3x1", "share": false}');
INSERT INTO "genotype" VALUES('3dde0002','lightweight','{"block": "imdb", "blocks": 2, "width": 16, "attention": "cca", "kernel": "3x3", "share": false}');
INSERT INTO "genotype" VALUES('5ccd0003','lightweight','{"block": "rfdb", "blocks": 3, "width": 24, "attention": "none", "kernel": "1x3_3x1", "share": false}');
INSERT INTO "genotype" VALUES('7bbc0004','lightweight','{"block": "imdb", "blocks": 4, "width": 24, "attention": "none", "kernel": "1x3_3x1", "share": false}');
INSERT INTO "genotype" VALUES('9aab0005','lightweight','{"block": "lattice", "blocks": 4, "width": 64, "attention": "cca", "kernel": "3x3", "share": false}');
INSERT INTO "genotype" VALUES('b99a0006','lightweight','{"block": "rfdb", "blocks": 2, "width": 64, "attention": "cca", "kernel": "3x3", "share": true}');
INSERT INTO "genotype" VALUES('d8890007','lightweight','{"block": "rfdb", "blocks": 3, "width": 32, "attention": "none", "kernel": "3x3", "share": true}');
INSERT INTO "genotype" VALUES('f7780008','lightweight','{"block": "rfdb", "blocks": 4, "width": 24, "attention": "esa", "kernel": "3x3", "share": false}');
INSERT INTO "genotype" VALUES('16670009','lightweight','{"block": "rfdb", "blocks": 4, "width": 48, "attention": "esa", "kernel": "3x3", "share": false}');
INSERT INTO "genotype" VALUES('3556000a','lightweight','{"block": "rfdb", "blocks": 2, "width": 64, "attention": "cca", "kernel": "3x3", "share": true}');
INSERT INTO "genotype" VALUES('5445000b','lightweight','{"block": "rfdb", "blocks": 6, "width": 48, "attention": "none", "kernel": "3x3", "share": true}');
INSERT INTO "genotype" VALUES('7334000c','lightweight','{"block": "lattice", "blocks": 4, "width": 48, "attention": "none", "kernel": "1x3_3x1", "share": true}');
INSERT INTO "genotype" VALUES('9223000d','lightweight','{"block": "lattice", "blocks": 4, "width": 32, "attention": "none", "kernel": "3x3", "share": false}');
INSERT INTO "genotype" VALUES('b112000e','lightweight','{"block": "rfdb", "blocks": 3, "width": 16, "attention": "none", "kernel": "1x3_3x1", "share": true}');
INSERT INTO "genotype" VALUES('d001000f','lightweight','{"block": "lattice", "blocks": 2, "width": 24, "attention": "none", "kernel": "3x3", "share": true}');
INSERT INTO "genotype" VALUES('eef00010','lightweight','{"block": "rfdb", "blocks": 6, "width": 32, "attention": "cca", "kernel": "1x3_3x1", "share": true}');
INSERT INTO "genotype" VALUES('0ddf0011','lightweight','{"block": "rfdb", "blocks": 6, "width": 64, "attention": "cca", "kernel": "1x3_3x1", "share": true}');
INSERT INTO "genotype" VALUES('3225002b','lightweight','{"block": "lattice", "blocks": 4, "width": 16, "attention": "esa", "kernel": "1x3_3x1", "share": false}');
INSERT INTO "genotype" VALUES('d5580028','lightweight','{"block": "imdb", "blocks": 2, "width": 48, "attention": "cca", "kernel": "3x3", "share": true}');
INSERT INTO "genotype" VALUES('f4470029','lightweight','{"block": "imdb", "blocks": 4, "width": 48, "attention": "esa", "kernel": "1x3_3x1", "share": false}');
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
INSERT INTO "protocol" VALUES('proxy-81c2e0',4,'proxy','{"steps": 2000, "batch": 16, "patch": 48}','photographs','9f0c','y_float',28.42,0.8104,'2026-11-21 07:16:12.475628');
INSERT INTO "protocol" VALUES('full-81c2e0',4,'full','{"steps": 2000, "batch": 16, "patch": 48}','photographs','9f0c','y_float',28.42,0.8104,'2026-11-21 07:16:12.571314');
CREATE TABLE study (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	recipe JSON NOT NULL, 
	space_digest VARCHAR NOT NULL, 
	code_version VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_study PRIMARY KEY (id), 
	CONSTRAINT uq_study_name UNIQUE (name)
);
INSERT INTO "study" VALUES(1,'demo','{"scale": 4, "budget": {"params": 300000, "multi_adds": 15000000000}, "search": {"trials": 60, "workers": 1}}','5d1f','0.1.0','2026-11-21 07:16:12.470810');
CREATE TABLE trial (
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
	CONSTRAINT pk_trial PRIMARY KEY (id), 
	CONSTRAINT uq_trial_study_id_stage_number UNIQUE (study_id, stage, number), 
	CONSTRAINT fk_trial_study_id FOREIGN KEY(study_id) REFERENCES study (id), 
	CONSTRAINT fk_trial_genotype_id FOREIGN KEY(genotype_id) REFERENCES genotype (id), 
	CONSTRAINT fk_trial_genotype_id_scale FOREIGN KEY(genotype_id, scale) REFERENCES cost (genotype_id, scale), 
	CONSTRAINT fk_trial_evaluation_id FOREIGN KEY(evaluation_id) REFERENCES evaluation (id), 
	CONSTRAINT ck_trial_stage CHECK (stage IN ('search', 'retrain')), 
	CONSTRAINT ck_trial_state CHECK (state IN ('running', 'finished', 'rejected', 'repeated', 'failed')), 
	CONSTRAINT ck_trial_evaluation_when_done CHECK ((state IN ('finished', 'repeated')) = (evaluation_id IS NOT NULL)), 
	CONSTRAINT ck_trial_finished_at_when_done CHECK ((state = 'running') = (finished_at IS NULL))
);
INSERT INTO "trial" VALUES(1,1,'search',0,'00000000',4,0,'finished','{}',1,NULL,'2026-11-21 07:16:12.479380','2026-11-21 07:16:12.493338');
INSERT INTO "trial" VALUES(2,1,'search',1,'1eef0001',4,0,'finished','{}',2,NULL,'2026-11-21 07:16:12.495052','2026-11-21 07:16:12.498959');
INSERT INTO "trial" VALUES(3,1,'search',2,'3dde0002',4,0,'finished','{}',3,NULL,'2026-11-21 07:16:12.499992','2026-11-21 07:16:12.503591');
INSERT INTO "trial" VALUES(4,1,'search',3,'5ccd0003',4,0,'finished','{}',4,NULL,'2026-11-21 07:16:12.504530','2026-11-21 07:16:12.507870');
INSERT INTO "trial" VALUES(5,1,'search',4,'7bbc0004',4,0,'finished','{}',5,NULL,'2026-11-21 07:16:12.508803','2026-11-21 07:16:12.512210');
INSERT INTO "trial" VALUES(6,1,'search',5,'9aab0005',4,0,'finished','{}',6,NULL,'2026-11-21 07:16:12.513250','2026-11-21 07:16:12.516569');
INSERT INTO "trial" VALUES(7,1,'search',6,'b99a0006',4,0,'finished','{}',7,NULL,'2026-11-21 07:16:12.517498','2026-11-21 07:16:12.520921');
INSERT INTO "trial" VALUES(8,1,'search',7,'d8890007',4,0,'finished','{}',8,NULL,'2026-11-21 07:16:12.521953','2026-11-21 07:16:12.525300');
INSERT INTO "trial" VALUES(9,1,'search',8,'f7780008',4,0,'finished','{}',9,NULL,'2026-11-21 07:16:12.526320','2026-11-21 07:16:12.529571');
INSERT INTO "trial" VALUES(10,1,'search',9,'16670009',4,0,'finished','{}',10,NULL,'2026-11-21 07:16:12.530622','2026-11-21 07:16:12.534119');
INSERT INTO "trial" VALUES(11,1,'search',10,'3556000a',4,0,'finished','{}',11,NULL,'2026-11-21 07:16:12.535090','2026-11-21 07:16:12.538297');
INSERT INTO "trial" VALUES(12,1,'search',11,'3556000a',4,0,'repeated','{}',11,NULL,'2026-11-21 07:16:12.538714','2026-11-21 07:16:12.538714');
INSERT INTO "trial" VALUES(13,1,'search',12,'5445000b',4,0,'finished','{}',12,NULL,'2026-11-21 07:16:12.542180','2026-11-21 07:16:12.545323');
INSERT INTO "trial" VALUES(14,1,'search',13,'7334000c',4,0,'finished','{}',13,NULL,'2026-11-21 07:16:12.546294','2026-11-21 07:16:12.549543');
INSERT INTO "trial" VALUES(15,1,'search',14,'9223000d',4,0,'finished','{}',14,NULL,'2026-11-21 07:16:12.550504','2026-11-21 07:16:12.553851');
INSERT INTO "trial" VALUES(16,1,'search',15,'b112000e',4,0,'finished','{}',15,NULL,'2026-11-21 07:16:12.554812','2026-11-21 07:16:12.557902');
INSERT INTO "trial" VALUES(17,1,'search',16,'d001000f',4,0,'finished','{}',16,NULL,'2026-11-21 07:16:12.558866','2026-11-21 07:16:12.562124');
INSERT INTO "trial" VALUES(18,1,'search',17,'eef00010',4,0,'failed','{}',NULL,'out of memory','2026-11-21 07:16:12.563136','2026-11-21 07:16:12.565572');
INSERT INTO "trial" VALUES(19,1,'search',18,'0ddf0011',4,0,'finished','{}',17,NULL,'2026-11-21 07:16:12.567074','2026-11-21 07:16:12.570505');
INSERT INTO "trial" VALUES(20,1,'retrain',0,'0ddf0011',4,0,'finished','{}',18,NULL,'2026-11-21 07:16:12.571873','2026-11-21 07:16:12.574833');
INSERT INTO "trial" VALUES(21,1,'search',19,'3225002b',4,0,'rejected','{"params": 0.25}',NULL,NULL,'2026-11-21 07:16:12.575273','2026-11-21 07:16:12.575273');
INSERT INTO "trial" VALUES(22,1,'search',20,'d5580028',4,0,'running','{}',NULL,NULL,'2026-11-21 07:16:12.577384',NULL);
INSERT INTO "trial" VALUES(23,1,'retrain',1,'f4470029',4,0,'running','{}',NULL,NULL,'2026-11-21 07:16:12.579669',NULL);
CREATE INDEX ix_trial_study_id_state ON trial (study_id, state);
CREATE INDEX ix_trial_evaluation_id ON trial (evaluation_id);
COMMIT;
