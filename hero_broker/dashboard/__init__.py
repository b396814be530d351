"""Pages and charts for people: data come in, HTML and SVG go out."""
