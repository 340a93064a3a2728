"""Style sheet of the pages, also for the width of a phone."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 1260px; margin: 2em auto; padding: 0 1em; color-scheme: light }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left }
td:not(:last-child) { white-space: nowrap }
.number { text-align: right }
wbr { display: none }
h2 { margin-top: 2em; border-bottom: 2px solid #ddd }
figure { margin: 1em 0 2.5em }
figcaption { font-weight: 600 }
img { max-width: 100%; height: auto }
ul { display: grid; grid-template-columns: repeat(auto-fit, minmax(9em, 1fr));
  max-width: 100%; margin: 0; padding: 0; list-style: none;
  font-size: .85em; line-height: 1.35; color: #444; text-align: center }
li { padding: 0 .4em .6em }
span { display: block; max-height: 8.1em; overflow: auto;
  overflow-wrap: anywhere }
audio { display: block; width: 100%; height: 2.2em; margin-top: .3em }
@media (max-width: 640px) {
  body { margin: 1em auto; padding: 0 .5em }
  wbr { display: inline }
  table { font-size: 12px; line-height: 1.25 }
  th, td { padding: .25em }
  td:not(.number) { white-space: normal; overflow-wrap: break-word }
  :is(.scores, .runs) { font-size: 11px }
  :is(.scores, .runs) tr { display: grid; border-bottom: 1px solid #ddd;
    grid-template-columns: 5.8em 3.3em 5.4em repeat(8, 3.9em) }
  .runs tr { grid-template-columns: 5.8em 3.3em 5.4em 4.2em repeat(8, 3.9em) }
  :is(.scores, .runs) :is(th, td) { border: 0; padding: .25em .15em;
    overflow-wrap: break-word }
  :is(.scores, .runs) th { font-size: 9px }
  .scores :is(th, td):is(:nth-child(4), :nth-child(5)),
  .runs :is(th, td):nth-child(5) { order: 1 }
}
"""
