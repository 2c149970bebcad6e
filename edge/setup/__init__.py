"""The first run: asks what a room needs, tries its wires, writes a commented configuration. Run by the administrator.

texts     every sentence that is shown or written, in Dutch    found    what cameras and microphones are here
talk      a conversation in a terminal                         wiring   "press the button now"
answers   what was answered, from a file or from a person      written  answers as a commented configuration (pure)
dialog    the questions, in order                              place    puts all files in place, or none
idle      is somebody being helped or recorded just now?
"""
