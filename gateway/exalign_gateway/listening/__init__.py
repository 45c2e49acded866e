"""How HTTP processes of ours listen; the annotator and the bridges use it too."""
