"""The networks and their weights: NSN, NDN and the 3D U-Net baseline are one family; a model is a directory of files."""
