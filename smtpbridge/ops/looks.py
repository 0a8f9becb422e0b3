"""
What the page looks like, and its one script.  Both stand in the page, named by their hashes in its policy (CSP).

The script hangs on the stream of events and puts the sections that have changed into their places.
Without it the page asks for itself anew every few seconds.  What comes by the stream was made by the same code as the
page.
"""

import base64
import hashlib

from smtpbridge.ops.markup import Html

# In light and in dark the contrast of text is at least 4.5 to 1 (WCAG 2.2, 1.4.3).
STYLE = Html("""
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--dim:#57606a;--rule:#d0d7de;--good:#116329;--bad:#b3261e;
--warn:#7d4e00;--a:#0b5cad;--b:#b3261e;--box:#f6f8fa}
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--dim:#9aa4af;--rule:#30363d;--good:#56d364;
--bad:#ff8a80;--warn:#e3b341;--a:#79b8ff;--b:#ff8a80;--box:#161b22}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:75rem;padding:.75rem;background:var(--ground);color:var(--text);
font:1rem/1.45 system-ui,sans-serif}
h1{font-size:1.25rem;margin:0}h2{font-size:1.05rem;margin:1.5rem 0 .4rem}
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;justify-content:space-between}
nav a{margin-right:.75rem}a{color:var(--a)}
p{margin:.3rem 0}small,.dim{color:var(--dim);font-size:.875rem}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.word{font-size:1.35rem;font-weight:600}.live{float:right}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.5rem;margin:0}
.tiles div{background:var(--box);border:1px solid var(--rule);border-radius:.4rem;padding:.45rem .6rem}
.tiles dt{color:var(--dim);font-size:.875rem}.tiles dd{margin:0;font-size:1.2rem;font-variant-numeric:tabular-nums}
.plots{margin-top:1rem;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:.75rem}
figure{margin:0}figcaption span{margin-left:.75rem;font-size:.875rem}figcaption small{display:block}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--dim);font-size:11px}svg line.grid{stroke:var(--rule)}
@media(max-width:40rem){svg text{font-size:17px}}
svg path{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
path.line0{stroke:var(--a)}path.line1{stroke:var(--b);stroke-dasharray:5 3}
i.key{display:inline-block;width:1.6rem;margin-right:.3rem;vertical-align:middle;border-top:3px solid var(--a)}
i.line1{border-top:3px dashed var(--b)}
.wide{overflow-x:auto;border:1px solid var(--rule);border-radius:.4rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;padding:.3rem .5rem;color:var(--dim)}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--rule)}
tbody tr:last-child>*{border-bottom:0}
th{font-weight:600;white-space:nowrap}td{overflow-wrap:anywhere;min-width:4rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;min-width:0}
td.w{min-width:14rem}td.m{min-width:9.5rem}td.t{white-space:nowrap}
ul{margin:.3rem 0;padding-left:1.2rem}.code{font-family:ui-monospace,monospace;font-size:.85rem}
input,button{font:inherit;color:inherit;background:var(--box);border:1px solid var(--rule);border-radius:.3rem;
padding:.25rem .5rem;max-width:100%}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
""")
# What somebody has opened, scrolled or focused stays so; a section in which text is marked is left alone meanwhile.
SCRIPT = Html("""
'use strict';
(function(){
const note=document.getElementById('live'),button=document.getElementById('pause');
let paused=false,source=null;const waiting={};
function busy(part){const marked=getSelection();
return !marked.isCollapsed&&part.contains(marked.anchorNode);}
function held(part){return Array.from(part.querySelectorAll('details,summary,.wide'));}
function show(){for(const name of Object.keys(waiting)){const part=document.getElementById(name);
if(!part){delete waiting[name];continue;}
if(paused||busy(part))continue;
const were=held(part).map(one=>[one.open,one.scrollLeft,one===document.activeElement]);
part.innerHTML=waiting[name];delete waiting[name];
held(part).forEach((one,at)=>{const was=were[at];if(!was)return;
if(was[0])one.open=true;one.scrollLeft=was[1];if(was[2])one.focus({preventScroll:true});});}}
function say(words){if(note.textContent!==words)note.textContent=words;}
function begin(){source=new EventSource('events');
source.addEventListener('page',event=>{Object.assign(waiting,JSON.parse(event.data));show();
say(paused?'paused':'live');});
source.onerror=()=>{say('no connection: what stands here is old');
if(source.readyState===EventSource.CLOSED)setTimeout(begin,10000);};}
button.hidden=false;
button.addEventListener('click',()=>{paused=!paused;button.setAttribute('aria-pressed',String(paused));
say(paused?'paused':'live');show();});
begin();
})();
""")
ICON = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<rect width="16" height="16" rx="3" fill="#0b5cad"/>
<path d="M2 11c3-7 9-7 12 0M2 11h12M6 7.2V11M10 7.2V11" fill="none" stroke="#fff" stroke-width="1.4"/></svg>
"""


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# Content Security Policy, level 3.  Nothing is fetched but the icon and the stream; nobody may frame the page.
POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
