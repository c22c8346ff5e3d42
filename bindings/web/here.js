// here.js - where the files of the package lie. Apart, since a page in one file has no such place.
export const here = import.meta.url;
