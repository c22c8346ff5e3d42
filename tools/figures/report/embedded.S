/* The parts of the page of `mohvit headload report`. */
#include "base/embed.inc"
    embed report_html, report.html
    embed report_css, report.css
    embed report_numbers_js, numbers.js
    embed report_pictures_js, pictures.js
    embed report_js, report.js
