#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make.py: writes small random models of ai.onnx.ml into a folder, each with an input; run.js then adds the outputs of ONNX Runtime.

    python3 make.py write DIR && (cd WHERE_NPM_PUT_IT && node .../run.js DIR) && python3 make.py read DIR
"""
import os, json, sys, shutil
import numpy as np, onnx
from onnx import helper as H, numpy_helper as N, TensorProto as T
OUT = sys.argv[2]
def read():
    for d in sorted(os.listdir(OUT)):
        p=f'{OUT}/{d}'
        if not os.path.exists(p+'/out.json'): print('no output',d); shutil.rmtree(p); continue
        for i,o in enumerate(json.load(open(p+'/out.json'))):
            a=np.array([np.nan if v=='NaN' else np.inf if v=='Infinity' else -np.inf if v=='-Infinity' else v for v in o['data']] if o['type']!='string' else o['data'],dtype=object if o['type']=='string' else None)
            if o['type']!='string': a=np.array([int(v) for v in o['data']],dtype='int64') if o['type']=='int64' else a.astype(o['type'])
            a=a.reshape(o['dims'])
            open(f'{p}/test_data_set_0/output_{i}.pb','wb').write(N.from_array(a,o['name']).SerializeToString())
        os.remove(p+'/out.json'); os.remove(p+'/in.json')

if sys.argv[1] == 'read':
    read()
    sys.exit()
rng=np.random.default_rng(11)
DT={np.dtype('float32'):T.FLOAT,np.dtype('float64'):T.DOUBLE,np.dtype('int64'):T.INT64,np.dtype('int32'):T.INT32}
def model(name, op, inputs, nout, outtypes=None, ml=3, **attrs):
    d=f'{OUT}/{name}/test_data_set_0'; os.makedirs(d)
    ins=[f'x{i}' for i in range(len(inputs))]; outs=[f'y{i}' for i in range(nout)]
    node=H.make_node(op, ins, outs, domain='ai.onnx.ml', **{k:v for k,v in attrs.items() if v is not None})
    vi=[H.make_tensor_value_info(n, DT[x.dtype], x.shape) for n,x in zip(ins,inputs)]
    ot=outtypes or [T.FLOAT]*nout
    vo=[H.make_tensor_value_info(n, t, None) for n,t in zip(outs,ot)]
    g=H.make_graph([node],name,vi,vo)
    m=H.make_model(g,opset_imports=[H.make_opsetid('',15),H.make_opsetid('ai.onnx.ml',ml)],producer_name='quern tests'); m.ir_version=8
    onnx.save(m,f'{OUT}/{name}/model.onnx')
    js=[]
    for i,x in enumerate(inputs):
        open(f'{d}/input_{i}.pb','wb').write(N.from_array(x,ins[i]).SerializeToString())
        js.append(dict(name=ins[i],type=str(x.dtype),dims=list(x.shape),data=[ (None if v!=v else v) for v in x.reshape(-1).tolist()]))
    json.dump(js,open(f'{OUT}/{name}/in.json','w'))
def X(n=7,f=4,dt='float32',nan=False):
    x=rng.normal(size=(n,f)).astype(dt) if dt.startswith('f') else rng.integers(-3,4,(n,f)).astype(dt)
    if nan: x[0,0]=np.nan; x[2,1]=np.nan
    return x
def f(n,lo=-1,hi=1): return [float(np.float32(v)) for v in rng.uniform(lo,hi,n)]
# small
for dt in ['float32','float64','int64','int32']:
    model(f'scaler_{dt}','Scaler',[X(dt=dt)],1,offset=f(4),scale=f(4,.5,2))
    for n in ['MAX','L1','L2']: model(f'normalizer_{n.lower()}_{dt}','Normalizer',[X(dt=dt)+ (0 if n!='MAX' else 0)],1,norm=n)
model('scaler_one','Scaler',[X()],1,offset=f(1),scale=f(1,.5,2))
model('imputer_nan','Imputer',[X(nan=True)],1,imputed_value_floats=f(4),replaced_value_float=float('nan'))
model('imputer_float','Imputer',[np.round(X())],1,imputed_value_floats=f(1),replaced_value_float=1.0)
model('imputer_int','Imputer',[X(dt='int64')],1,[T.INT64],imputed_value_int64s=[10,11,12,13],replaced_value_int64=2)
model('feature_vectorizer','FeatureVectorizer',[X(3,2),X(3,3)],1,inputdimensions=[2,3])
model('feature_vectorizer_int','FeatureVectorizer',[X(3,2,'int64'),X(3,1,'int64')],1,inputdimensions=[2,1])
model('one_hot','OneHotEncoder',[X(4,3,'int64')],1,cats_int64s=[-2,0,1,3])
model('one_hot_float','OneHotEncoder',[np.round(X(4,1)).astype('float32')],1,cats_int64s=[-1,0,1])
model('array_feature_extractor_int','ArrayFeatureExtractor',[X(3,4,'int64'),np.array([[3,1,1]])],1,[T.INT64])
model('binarizer','Binarizer',[X()],1,threshold=0.25)
for kt,vt in [('int64','int64'),('int64','float32'),('float32','int64'),('float32','float32')]:
    ks={'int64':dict(keys_int64s=[5,-3,0,2,100]),'float32':dict(keys_floats=[.5,-1.,3.,float('nan'),2.])}[kt]
    vs={'int64':dict(values_int64s=[7,8,9,10,11],default_int64=-4),'float32':dict(values_floats=[.5,.25,7.,8.,9.],default_float=-2.5)}[vt]
    x={'int64':np.array([[5,2,-3],[100,7,0]]),'float32':np.array([[.5,3.,2.5],[np.nan,-1,2]],'float32')}[kt]
    model(f'label_encoder_{kt}_{vt}','LabelEncoder',[x],1,[DT[np.dtype(vt)]],ml=4,**ks,**vs)
for p in ['NONE','SOFTMAX','LOGISTIC','SOFTMAX_ZERO','PROBIT']:
    k=0.01 if p=='PROBIT' else 1
    model(f'linear_regressor_{p.lower()}','LinearRegressor',[X()],1,coefficients=[v*k for v in f(12)],intercepts=[.3,.7,.2],targets=3,post_transform=p)
    model(f'linear_classifier_{p.lower()}','LinearClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=[v*k for v in f(12)],intercepts=[.3,.7,.2],classlabels_ints=[5,7,-2],post_transform=p)
    if p in('NONE','LOGISTIC'): model(f'linear_classifier_binary_{p.lower()}','LinearClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(4),intercepts=[.1],classlabels_ints=[3,4],post_transform=p)
model('linear_classifier_int','LinearClassifier',[X(dt='int64')],2,[T.INT64,T.FLOAT],coefficients=f(12),intercepts=f(3),classlabels_ints=[0,1,2],multi_class=1)
for k in ['LINEAR','POLY','RBF','SIGMOID']:
    kp=[.4,.3,2.0]
    model(f'svm_regressor_{k.lower()}','SVMRegressor',[X()],1,coefficients=f(5),kernel_params=kp,kernel_type=k,n_supports=5,rho=[.2],support_vectors=f(20))
    model(f'svm_classifier_{k.lower()}','SVMClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(12),kernel_params=kp,kernel_type=k,rho=f(3),support_vectors=f(24),vectors_per_class=[2,3,1],classlabels_ints=[1,2,5])
    model(f'svm_classifier_proba_{k.lower()}','SVMClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(12),kernel_params=kp,kernel_type=k,rho=f(3),support_vectors=f(24),vectors_per_class=[2,3,1],classlabels_ints=[1,2,5],prob_a=f(3,-2,-.5),prob_b=f(3))
    model(f'svm_classifier_two_{k.lower()}','SVMClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(5),kernel_params=kp,kernel_type=k,rho=f(1),support_vectors=f(20),vectors_per_class=[2,3],classlabels_ints=[8,9])
model('svm_classifier_two_proba','SVMClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(5),kernel_params=[.4,.3,2.],kernel_type='RBF',rho=f(1),support_vectors=f(20),vectors_per_class=[2,3],classlabels_ints=[8,9],prob_a=[-1.2],prob_b=[.1])
model('svm_classifier_liblinear','SVMClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(12),kernel_type='LINEAR',kernel_params=[.4,.3,2.],rho=[.3],classlabels_ints=[8,9,10])
model('svm_classifier_liblinear_two','SVMClassifier',[X()],2,[T.INT64,T.FLOAT],coefficients=f(8),kernel_type='LINEAR',kernel_params=[.4,.3,2.],rho=[.3],classlabels_ints=[8,9])
model('svm_regressor_one_class','SVMRegressor',[X()],1,coefficients=f(5),kernel_params=[.4,.3,2.0],kernel_type='RBF',n_supports=5,rho=[.02],support_vectors=f(20),one_class=1)
model('svm_regressor_liblinear','SVMRegressor',[X()],1,coefficients=f(4),kernel_type='LINEAR',kernel_params=[.4,.3,2.],n_supports=0,rho=[.2])
# trees
def trees(ntree,depth,feats,modes,missing):
    a=dict(nodes_treeids=[],nodes_nodeids=[],nodes_featureids=[],nodes_modes=[],nodes_values=[],nodes_truenodeids=[],nodes_falsenodeids=[],nodes_missing_value_tracks_true=[])
    leaves=[]
    for t in range(ntree):
        nid=[0]
        def rec(d):
            i=nid[0]; nid[0]+=1
            leaf = d==depth or (d>0 and rng.random()<.2)
            idx=len(a['nodes_treeids'])
            for k in a: a[k].append(0)
            a['nodes_treeids'][idx]=t; a['nodes_nodeids'][idx]=i
            if leaf:
                a['nodes_modes'][idx]='LEAF'; a['nodes_values'][idx]=0.0; leaves.append((t,i))
            else:
                a['nodes_featureids'][idx]=int(rng.integers(feats)); a['nodes_modes'][idx]=str(rng.choice(modes))
                a['nodes_values'][idx]=float(np.float32(rng.normal()*.7)); a['nodes_missing_value_tracks_true'][idx]=int(rng.random()<.5) if missing else 0
                a['nodes_truenodeids'][idx]=rec(d+1); a['nodes_falsenodeids'][idx]=rec(d+1)
            return i
        rec(0)
    return a,leaves
ALL=['BRANCH_LEQ','BRANCH_LT','BRANCH_GTE','BRANCH_GT','BRANCH_EQ','BRANCH_NEQ']
def reg(name,agg='SUM',targets=1,modes=['BRANCH_LEQ'],missing=False,base=None,post='NONE',dt='float32',scale=1.,each=True):
    a,l=trees(6,4,4,modes,missing)
    ids=[];ni=[];ti=[];w=[]
    for t,i in l:
        for k in (range(targets) if each else [int(rng.integers(targets))]): ti.append(t);ni.append(i);ids.append(int(k));w.append(float(np.float32(rng.normal()*scale)))
    model(name,'TreeEnsembleRegressor',[X(9,4,dt,missing)],1,aggregate_function=agg,n_targets=targets,base_values=base,post_transform=post,target_ids=ids,target_nodeids=ni,target_treeids=ti,target_weights=w,**a)
for agg in ['SUM','AVERAGE','MIN','MAX']:
    reg(f'tree_regressor_{agg.lower()}',agg); reg(f'tree_regressor_{agg.lower()}_targets',agg,3)
    reg(f'tree_regressor_{agg.lower()}_base',agg,2,base=[.5,-.25])
for m in ALL: reg(f'tree_regressor_mode_{m[7:].lower()}',modes=[m],missing=(m in('BRANCH_LEQ','BRANCH_LT')))
reg('tree_regressor_modes',modes=ALL[:4],missing=True); reg('tree_regressor_base',base=[.75]); reg('tree_regressor_double',dt='float64')
for p in ['LOGISTIC','SOFTMAX','SOFTMAX_ZERO']: reg(f'tree_regressor_{p.lower()}',targets=3,post=p)
reg('tree_regressor_logistic_one',post='LOGISTIC')
def cls(name,classes,which='all',positive=False,post='NONE',base=None,dt='float32',modes=['BRANCH_LEQ']):
    a,l=trees(5,4,4,modes,False)
    ids=[];ni=[];ti=[];w=[]
    for t,i in l:
        for k in (range(classes) if which=='all' else [t%classes] if which=='tree' else [which]):
            ti.append(t);ni.append(i);ids.append(k);v=rng.normal()*.4
            w.append(float(np.float32(abs(v) if positive else v)))
    model(name,'TreeEnsembleClassifier',[X(9,4,dt)],2,[T.INT64,T.FLOAT],class_ids=ids,class_nodeids=ni,class_treeids=ti,class_weights=w,classlabels_int64s=list(range(10,10+classes)),post_transform=post,base_values=base,**a)
for p in ['NONE','SOFTMAX','LOGISTIC']:
    cls(f'tree_classifier_{p.lower()}',3,post=p); cls(f'tree_classifier_tree_{p.lower()}',3,'tree',post=p,base=[.1,.2,.3])
    cls(f'tree_classifier_two_{p.lower()}',2,0,post=p); cls(f'tree_classifier_two_positive_{p.lower()}',2,0,True,post=p)
    cls(f'tree_classifier_second_{p.lower()}',2,1,post=p)
    cls(f'tree_classifier_forest_{p.lower()}',2,'all',True,post=p)
    cls(f'tree_classifier_two_base_{p.lower()}',2,0,post=p,base=[.3])
cls('tree_classifier_softmax_zero',4,post='SOFTMAX_ZERO'); cls('tree_classifier_int',3,dt='int64'); cls('tree_classifier_double',3,dt='float64')
cls('tree_classifier_forest_mixed',2,'all',False)
cls('tree_classifier_second_positive',2,1,True)
def ens(name,dt,agg=1,targets=2,post=0,modes=[0]):
    nodes=[];leafs=0;roots=[]
    w=[];tg=[]
    def rec(d):
        i=len(nodes); nodes.append(None)
        kids=[]
        for _ in range(2):
            if d>=3 or rng.random()<.25:
                kids.append((1,len(w))); w.append(rng.normal()); tg.append(int(rng.integers(targets)))
            else: kids.append((0,rec(d+1)))
        nodes[i]=(int(rng.integers(3)),int(rng.choice(modes)),rng.normal()*.5,kids)
        return i
    for _ in range(4): roots.append(rec(0))
    nm=[n[1] for n in nodes]
    mem=[]
    for n in nodes:
        if n[1]==6: mem+= [float(v) for v in rng.integers(-2,3,2)]+[float('nan')]
    t=lambda v,d: N.from_array(np.array(v,d))
    model(name,'TreeEnsemble',[np.round(X(9,3,dt)*2).astype(dt)/2],1,[DT[np.dtype(dt)]],ml=5,aggregate_function=agg,n_targets=targets,post_transform=post,tree_roots=roots,
      nodes_modes=t(nm,'uint8'),nodes_splits=t([n[2] for n in nodes],dt),nodes_featureids=[n[0] for n in nodes],
      nodes_truenodeids=[n[3][0][1] for n in nodes],nodes_trueleafs=[n[3][0][0] for n in nodes],nodes_falsenodeids=[n[3][1][1] for n in nodes],nodes_falseleafs=[n[3][1][0] for n in nodes],
      leaf_targetids=tg,leaf_weights=t(w,dt),membership_values=t(mem,dt) if mem else None)
for a in range(4): ens(f'tree_ensemble_aggregate_{a}','float32',a)
ens('tree_ensemble_double','float64'); ens('tree_ensemble_member','float32',modes=[0,6]); ens('tree_ensemble_modes','float32',modes=[0,1,2,3,4,5])
# strings
S=T.STRING
def smodel(name, op, inputs, nout, outtypes, domain='', ml=3, opset=20, **attrs):
    d=f'{OUT}/{name}/test_data_set_0'; os.makedirs(d)
    ins=[f'x{i}' for i in range(len(inputs))]; outs=[f'y{i}' for i in range(nout)]
    node=H.make_node(op, ins, outs, domain=domain, **attrs)
    ty=lambda x: S if x.dtype==object else DT.get(x.dtype, T.BOOL)
    g=H.make_graph([node],name,[H.make_tensor_value_info(n,ty(x),x.shape) for n,x in zip(ins,inputs)],[H.make_tensor_value_info(n,t,None) for n,t in zip(outs,outtypes)])
    m=H.make_model(g,opset_imports=[H.make_opsetid('',opset),H.make_opsetid('ai.onnx.ml',ml)],producer_name='quern tests'); m.ir_version=8
    onnx.save(m,f'{OUT}/{name}/model.onnx'); js=[]
    for i,x in enumerate(inputs):
        open(f'{d}/input_{i}.pb','wb').write(N.from_array(x,ins[i]).SerializeToString())
        js.append(dict(name=ins[i],type='string' if x.dtype==object else str(x.dtype),dims=list(x.shape),data=x.reshape(-1).tolist()))
    json.dump(js,open(f'{OUT}/{name}/in.json','w'))
A=lambda *v: np.array(v,dtype=object)
w=A('cat','dog','','Änte','cat').reshape(5)
smodel('string_label_encoder_int','LabelEncoder',[w],1,[T.INT64],'ai.onnx.ml',2,keys_strings=['dog','cat','x'],values_int64s=[3,1,2],default_int64=-7)
smodel('string_label_encoder_string','LabelEncoder',[w.reshape(5,1)],1,[S],'ai.onnx.ml',2,keys_strings=['dog','cat','Änte'],values_strings=['Hund','Katze',''],default_string='?')
smodel('string_label_encoder_from_int','LabelEncoder',[np.array([1,5,-2,9])],1,[S],'ai.onnx.ml',2,keys_int64s=[5,-2,1],values_strings=['five','minus two','one'])
smodel('string_label_encoder_float','LabelEncoder',[w],1,[T.FLOAT],'ai.onnx.ml',2,keys_strings=['dog','cat'],values_floats=[.5,1.5],default_float=-1.)
smodel('string_category_mapper','CategoryMapper',[w],1,[T.INT64],'ai.onnx.ml',1,cats_strings=['dog','cat'],cats_int64s=[10,20],default_int64=-1)
smodel('string_category_mapper_back','CategoryMapper',[np.array([10,20,30])],1,[S],'ai.onnx.ml',1,cats_strings=['dog','cat'],cats_int64s=[10,20],default_string='none')
smodel('string_one_hot','OneHotEncoder',[A('b','a','c')],1,[T.FLOAT],'ai.onnx.ml',1,cats_strings=['a','b','c'])
smodel('string_linear_classifier','LinearClassifier',[X()],2,[S,T.FLOAT],'ai.onnx.ml',1,coefficients=f(12),intercepts=[.3,.7,.2],classlabels_strings=['red','green','blue'],post_transform='SOFTMAX')
smodel('string_svm_classifier','SVMClassifier',[X()],2,[S,T.FLOAT],'ai.onnx.ml',1,coefficients=f(12),kernel_params=[.4,.3,2.],kernel_type='RBF',rho=f(3),support_vectors=f(24),vectors_per_class=[2,3,1],classlabels_strings=['u','v','w'])
smodel('string_gather','Gather',[w,np.array([[4,0],[3,3]])],1,[S])
smodel('string_equal','Equal',[w.reshape(5,1),A('cat','','dog')],1,[T.BOOL])
smodel('string_where','Where',[np.array([True,False,True,False,True]),w,A('z')],1,[S],opset=16)
smodel('string_concat','Concat',[w,A('a','b')],1,[S],axis=0)
smodel('string_join','StringConcat',[w.reshape(5,1),A('-x','äö')],1,[S])
smodel('string_from_int','Cast',[np.array([0,-5,4503599627370496,-12])],1,[S],opset=13,to=T.STRING)
smodel('string_to_float','Cast',[A('1.5','-2e-3','1e10','.5','12345678','3.4e38','NaN','-INF')],1,[T.FLOAT],opset=13,to=T.FLOAT)
smodel('string_to_int','Cast',[A('15','-2','9223372036854775807')],1,[T.INT64],opset=13,to=T.INT64)
print(len(os.listdir(OUT)))
