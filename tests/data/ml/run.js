// SPDX-License-Identifier: Apache-2.0
// run.js: runs the models of a folder that make.py wrote in ONNX Runtime (npm onnxruntime-node) and keeps their outputs.
const ort=require('onnxruntime-node'),fs=require('fs');const root=process.argv[2];
const arr={float32:Float32Array,float64:Float64Array,int64:BigInt64Array,int32:Int32Array,bool:Uint8Array};
(async()=>{for(const d of fs.readdirSync(root)){const p=root+'/'+d;if(!fs.existsSync(p+'/in.json'))continue;
try{const s=await ort.InferenceSession.create(p+'/model.onnx',{intraOpNumThreads:1,logSeverityLevel:3});const feed={};
for(const t of JSON.parse(fs.readFileSync(p+'/in.json'))){let v=t.data;if(t.type=='string'){feed[t.name]=new ort.Tensor('string',v,t.dims);continue;}
 if(t.type=='int64')v=v.map(BigInt);else v=v.map(x=>x===null?NaN:x);feed[t.name]=new ort.Tensor(t.type,arr[t.type].from(t.type==='bool'?v.map(Number):v),t.dims);}
const r=await s.run(feed);const o=s.outputNames.map(n=>({name:n,type:r[n].type,dims:r[n].dims,data:Array.from(r[n].data,x=>typeof x==='bigint'?x.toString():(typeof x==='number'&&!isFinite(x)?String(x):x))}));
fs.writeFileSync(p+'/out.json',JSON.stringify(o));}catch(e){console.log(d,String(e).slice(0,200));}}})();
