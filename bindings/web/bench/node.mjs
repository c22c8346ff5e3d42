// node.mjs - one measurement in a process of its own: node node.mjs JOB
import { measure } from "./measure.js";

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]))));
process.exit(); // whatever threads there are
